"""``manifest.json``: what a package holds, so that a loader can prove what it loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from vin_batch.export.contract import COLUMNS, CONTRACT_VERSION, type_name

MANIFEST: Final = "manifest.json"
MANIFEST_SCHEMA: Final = 1
KIND: Final = "vin_batch package"


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One file of a package.

    Attributes:
        name: Its name in the directory.
        rows: Cards in it; a CSV has a header line besides.
        bytes: Its size.
        sha256: Its digest, 64 hex digits.
    """

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package holds. No times of its own: the same content has the same manifest.

    Attributes:
        run_id: The run.
        model: ``id``, ``name`` and ``sha256`` of its model.
        package_version: Version of vin_batch that began the run.
        complete: Whether all of the run is here.
        cards: Cards in all files of one format.
        cards_planned: Cards in the plan of the run.
        statuses: Cards by status.
        sources: Cards by source.
        corrections: ``known``, ``applied`` and ``digest`` of the corrections.
        readings_digest: Digest over the digests of the readings files.
        csv: ``encoding``, ``delimiter`` and the fixed rest of the dialect.
        files: All other files of the package.
    """

    run_id: str
    model: Mapping[str, str]
    package_version: str
    complete: bool
    cards: int
    cards_planned: int
    statuses: Mapping[str, int]
    sources: Mapping[str, int]
    corrections: Mapping[str, Any]
    readings_digest: str
    csv: Mapping[str, str]
    files: tuple[PackedFile, ...]


def to_json(manifest: Manifest) -> bytes:
    """Write a manifest."""
    columns = [
        {"name": column.name, "type": type_name(column.kind), "nullable": column.nullable}
        for column in COLUMNS
    ]
    document = {
        "kind": KIND,
        "schema": MANIFEST_SCHEMA,
        "contract": CONTRACT_VERSION,
        **asdict(manifest),
        "columns": columns,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    # Paths that are not UTF-8 show their bytes.
    return text.encode("utf-8", "backslashreplace")


def from_json(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        ValueError: It is damaged, or of a version that this program does not know.
    """
    try:
        document: dict[str, Any] = json.loads(data)
        versions = (document.pop("kind"), document.pop("schema"), document.pop("contract"))
        if versions != (KIND, MANIFEST_SCHEMA, CONTRACT_VERSION):
            raise ValueError(f"it is of another kind or version: {versions}")
        named = [(column["name"], column["type"]) for column in document.pop("columns")]
        if named != [(column.name, type_name(column.kind)) for column in COLUMNS]:
            raise ValueError("its columns are not those of its version")
        document["files"] = tuple(PackedFile(**file) for file in document["files"])
        return Manifest(**document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is damaged: {error!r}") from error
