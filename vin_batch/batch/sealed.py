"""JSON files that carry a digest of their own content, so that no flipped bit goes unnoticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

SEAL: Final = "seal"
"""Key of the digest; it is the last one."""
SEAL_BYTES: Final = 16


def sealed_json(document: Mapping[str, Any]) -> bytes:
    """Write a JSON object with its seal."""
    whole = {**document, SEAL: _seal_of(document)}
    return (json.dumps(whole, indent=1) + "\n").encode()


def open_sealed(data: bytes) -> dict[str, Any]:
    """Read a JSON object and take off its seal.

    A file without one was written before there were seals, and is taken at its word.

    Raises:
        ValueError: It is torn, no object, or not what was sealed.
    """
    document = json.loads(data)
    if not isinstance(document, dict):
        raise ValueError("it is no JSON object")
    if SEAL in document and document.pop(SEAL) != _seal_of(document):
        raise ValueError("it does not match the digest in it")
    return document


def _seal_of(document: Mapping[str, Any]) -> str:
    # Tuples become lists and numbers take their JSON form before the digest, as in the file.
    text = json.dumps(document, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=SEAL_BYTES).hexdigest()
