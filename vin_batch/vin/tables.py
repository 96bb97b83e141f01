"""The packaged tables as files: their digest stands for the rules that a run was read by."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

DECIDING: Final = ("wmi_prior.csv", "body_rules.toml", "maker_characters.csv")
"""Tables that change which VIN is read, or how sure; the others only name makers."""


@cache
def tables_sha256() -> str:
    """Digest over the tables that change results, 64 hex digits."""
    digest = hashlib.sha256()
    for name in DECIDING:
        content = files("vin_batch.vin").joinpath("data", name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
