"""Receipts: what a finished shard was made from, and what came out.

A shard is done when its receipt is valid; nothing else says so.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from vin_batch.batch.atomic import write_atomic
from vin_batch.batch.rundir import RunDir, parts
from vin_batch.batch.sealed import open_sealed, sealed_json
from vin_batch.records import BoxIssue

if TYPE_CHECKING:
    # `status` answers in half the time without NumPy.
    import numpy as np
    from numpy.typing import NDArray

RECEIPT_SCHEMA: Final = 1


class ShardState(StrEnum):
    """How a shard ended."""

    DONE = "done"
    QUARANTINED = "quarantined"
    """Its workers died or hung: every card has a row, with status failed."""


class Stage(StrEnum):
    """What a worker was doing."""

    READ = "read"
    SECOND_LOOK = "second_look"


@dataclass(frozen=True, slots=True)
class Blame:
    """A card that killed its worker, or stalled it, in a task of its own, and again.

    Attributes:
        card_id: The card.
        stage: In ``read`` nothing of it was read; in ``second_look`` its first reading stays.
        cause: What happened, for people.
    """

    card_id: str
    stage: Stage
    cause: str


class ReceiptError(Exception):
    """A receipt that does not parse; its shard is not done."""


@dataclass(frozen=True, slots=True)
class ReaderPart:
    """What one reader did for a shard.

    Attributes:
        name: Name of the reader.
        sha256: Digest of its weights, 64 hex digits.
        engine: What computed it.
        cards: Cards that it looked at.
        boxes: Boxes that it looked at.
        seconds: How long that took.
    """

    name: str
    sha256: str
    engine: str
    cards: int
    boxes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything worth knowing about one finished shard.

    Attributes:
        shard: Number in the plan.
        run_id: The run it belongs to.
        model_id: The model that read it.
        state: How it ended.
        cards: Rows in its readings file, one per card.
        readings_sha256: Digest of that file, 64 hex digits.
        readings_bytes: Its size.
        plan_digest: Digest of the shard's rows in the plan.
        stat_digest: Digest over names, sizes and times of the box files when they were
            read; empty where they were not.
        content_digests: Base64 of ``uint8[cards, 8]``, digests over names and bytes of the
            box files; empty where they were not read.
        statuses: Cards by status.
        reasons: Cards by reason code.
        issues: Boxes by issue code.
        extra_boxes: Image files that were no box.
        ignored_files: Other files in the card folders.
        timings: Seconds by stage. Of the worker: ``read``, ``preprocess``, ``second_look``,
            ``worker_busy`` (with a task, these among it), ``worker_idle`` (free before it got
            one), ``worker_cpu`` (of processors). Of the main process: ``idle`` (it waited for
            pixels), ``classify``, ``decode``, ``write`` (with the receipt before this one),
            ``other``; these five make up its time since that; ``main_cpu`` (of processors).
            ``queue``: the pixels waited for the classifier. Older receipts have fewer.
        device: What the classifier ran on.
        host: Where.
        finished_at: When, ISO 8601 with time zone.
        rss_bytes: Resident memory of the main process when it wrote this.
        worker_rss_bytes: Largest resident memory of the worker so far.
        strikes: Worker deaths and time-outs with this shard in flight.
        errors: First few unexpected errors, for people.
        readers: Who read the shard, in order; empty where nobody did.
        stamp_digests: Base64 of ``uint8[cards, 8]``, digests over names, sizes and times of
            the box files when they were read; empty where they were not.
        blamed: Cards that cost a worker. Cards whose worker died have zeros as digests.
        given_up: Cards that were not read, or not looked at again, because the shard had
            cost too many workers before their turn came.
        read_bytes: Sizes of the box files that were read, in all; 0 in older receipts.
    """

    shard: int
    run_id: str
    model_id: str
    state: ShardState
    cards: int
    readings_sha256: str
    readings_bytes: int
    plan_digest: str
    stat_digest: str
    content_digests: str
    statuses: Mapping[str, int]
    reasons: Mapping[str, int]
    issues: Mapping[str, int]
    extra_boxes: int
    ignored_files: int
    timings: Mapping[str, float]
    device: str
    host: str
    finished_at: str
    rss_bytes: int
    worker_rss_bytes: int
    strikes: int
    errors: tuple[str, ...] = field(default=())
    readers: tuple[ReaderPart, ...] = field(default=())
    stamp_digests: str = ""
    blamed: tuple[Blame, ...] = field(default=())
    given_up: int = 0
    read_bytes: int = 0

    @property
    def failed_cards(self) -> int:
        """Cards that could not be read."""
        return self.statuses.get("failed", 0)

    @property
    def is_poisoned(self) -> bool:
        """True where workers died or gave up for good, so that something was left out."""
        return bool(self.blamed or self.given_up or self.issues.get(BoxIssue.NOT_READ.code))

    def contents(self) -> NDArray[np.uint8] | None:
        """Content digests ``uint8[cards, 8]``, None where nothing was read."""
        return self._decoded(self.content_digests)

    def stamps(self) -> NDArray[np.uint8] | None:
        """Stamp digests ``uint8[cards, 8]``, None where nothing was read or none were kept."""
        return self._decoded(self.stamp_digests)

    def _decoded(self, digests: str) -> NDArray[np.uint8] | None:
        if not digests:
            return None
        import numpy as np  # noqa: PLC0415

        return np.frombuffer(base64.b64decode(digests), dtype=np.uint8).reshape(self.cards, -1)


def encode_digests(digests: NDArray[np.uint8]) -> str:
    """Text form of digests ``uint8[n, 8]``."""
    return base64.b64encode(digests.tobytes()).decode("ascii")


def receipt_to_json(receipt: Receipt) -> bytes:
    """Write a receipt as JSON."""
    return sealed_json({"schema": RECEIPT_SCHEMA, **asdict(receipt)})


def receipt_from_json(data: bytes) -> Receipt:
    """Read a receipt.

    Raises:
        ReceiptError: It is torn, altered, of another schema, or no receipt at all.
    """
    try:
        document = open_sealed(data)
        if document.pop("schema") != RECEIPT_SCHEMA:
            raise ReceiptError("another schema")
        document["state"] = ShardState(document["state"])
        document["errors"] = tuple(document["errors"])
        document["readers"] = tuple(ReaderPart(**part) for part in document.get("readers", ()))
        document["blamed"] = tuple(
            Blame(**{**blame, "stage": Stage(blame["stage"])})
            for blame in document.get("blamed", ())
        )
        receipt = Receipt(**document)
        _check_types(receipt)
        for digests in (receipt.content_digests, receipt.stamp_digests):
            if digests and len(base64.b64decode(digests)) % receipt.cards:
                raise ValueError("digests are not one per card")
    except (ValueError, ArithmeticError, KeyError, TypeError, AttributeError) as error:
        raise ReceiptError(repr(error)) from error
    return receipt


def _check_types(receipt: Receipt) -> None:
    kinds: dict[str, type | tuple[type, ...]] = {"int": int, "str": str}
    for item in fields(receipt):
        kind = kinds.get(str(item.type), dict if "Mapping" in str(item.type) else object)
        if not isinstance(getattr(receipt, item.name), kind):
            raise TypeError(f"{item.name} is not of type {item.type}")


def load_receipt(run: RunDir, shard: int) -> Receipt | None:
    """Read the receipt of one shard; None where there is none that parses.

    One that was written for another shard is none, whatever its name says.
    The receipt is taken at its word: ``ledger.is_valid`` compares it with the readings.
    """
    try:
        receipt = receipt_from_json(run.receipt(shard).read_bytes())
    except (OSError, ReceiptError):
        return None
    return receipt if receipt.shard == shard else None


def iter_receipts(run: RunDir) -> Iterator[Receipt]:
    """Receipts of a run that parse, in shard order."""
    for shard, _ in parts(run.receipts_dir):
        receipt = load_receipt(run, shard)
        if receipt is not None:
            yield receipt


def save_receipt(run: RunDir, receipt: Receipt) -> None:
    """Write a receipt atomically.

    Raises:
        DiskError: The system refused.
    """
    write_atomic(run.receipt(receipt.shard), receipt_to_json(receipt), "receipt", rivals=True)
