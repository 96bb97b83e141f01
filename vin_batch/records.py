"""Frozen records that travel between the rooms.

Arrays are NumPy arrays with the shapes and dtypes given beside each field; ``n`` is the
number of cards, and the 17 boxes of a card are in reading order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # `status` answers in half the time without NumPy.
    import numpy as np
    from numpy.typing import NDArray


class BoxIssue(IntEnum):
    """Why a box gave no evidence. The lower-case names are stable codes of the outputs."""

    NONE = 0
    MISSING = 1
    """No file for this position."""
    DUPLICATE = 2
    """Two or more files claim this position."""
    EMPTY_FILE = 3
    """The file has no bytes."""
    UNREADABLE_FILE = 4
    """The operating system refused to give the bytes."""
    UNDECODABLE = 5
    """The bytes are not a whole image (torn, or another format)."""
    OVERSIZED = 6
    """More bytes or pixels than a box crop can have."""
    BLANK = 7
    """Paper without ink."""
    BLOT = 8
    """Ink without a legible shape."""
    NOT_READ = 9
    """The process that should have read the card died or hung, again and again."""
    CHANGED_WHILE_READING = 10
    """The card's folder changed or vanished between plan and reading."""

    @property
    def code(self) -> str:
        """The stable text code, e.g. ``empty_file``."""
        return self.name.lower()

    @property
    def is_file_failure(self) -> bool:
        """True where a file exists but could not be turned into an image."""
        return BoxIssue.EMPTY_FILE <= self <= BoxIssue.OVERSIZED


class Status(StrEnum):
    """The verdict on one card."""

    ACCEPTED = "accepted"
    REVIEW = "review"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class CheckDigitState(StrEnum):
    """What the check digit says about the reading."""

    VALID = "valid"
    INVALID = "invalid"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the images of a packed card lie.

    Attributes:
        pack: Path of the pack below the archive root.
        offset: Where the header of the first image begins, in bytes.
        length: Up to the end of the last image, in bytes.
        ignored_files: Other files of the card.
    """

    pack: bytes
    offset: int
    length: int
    ignored_files: int


@dataclass(frozen=True, slots=True)
class CardRef:
    """One card found in the archive.

    Attributes:
        card_id: Path below the archive root, POSIX separators, always valid Unicode.
        path: The same path as the file system's bytes, when ``card_id`` cannot express
            them (names that are not UTF-8); otherwise None.
        digest: Digest of the folder listing (names, not contents), 16 hex digits.
        place: Where the card lies in a pack; None for one that is a folder.
    """

    card_id: str
    path: bytes | None
    digest: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class CardPack:
    """The pixels of one shard, as a worker hands them to the classifier.

    Attributes:
        shard: Number of the shard in the plan.
        card_ids: ``n`` card ids in plan order.
        pixels: ``uint8[n, 17, 28, 28]``, light ink on black; zero where there is an issue. Of
            no card where there are ``log_probs``.
        issues: ``uint8[n, 17]`` of ``BoxIssue``.
        extra_boxes: ``int32[n]``, image files beyond the 17 positions (or without one).
        ignored_files: ``int32[n]``, other files in the card folder.
        content_digests: ``uint8[n, 8]``, digest over the names and bytes of the boxes.
        stamp_digests: ``uint8[n, 8]``, digest over names, sizes and times of the boxes.
        stat_digest: Digest over names, sizes and modification times of the shard's files.
        read_seconds: Time spent reading files.
        preprocess_seconds: Time spent decoding and preprocessing.
        read_bytes: Sizes of the files that were read, in all.
        log_probs: ``float32[n, 17, 33]``, where the worker itself classified; boxes with an
            issue say nothing.
        classify_seconds: Time spent on that.
    """

    shard: int
    card_ids: tuple[str, ...]
    pixels: NDArray[np.uint8]
    issues: NDArray[np.uint8]
    extra_boxes: NDArray[np.int32]
    ignored_files: NDArray[np.int32]
    content_digests: NDArray[np.uint8]
    stamp_digests: NDArray[np.uint8]
    stat_digest: str
    read_seconds: float
    preprocess_seconds: float
    read_bytes: int = 0
    log_probs: NDArray[np.float32] | None = None
    classify_seconds: float = 0.0


class CharReading(NamedTuple):
    """What the ink of one box says, before any VIN rule.

    Attributes:
        position: 1 to 17.
        char: Most probable character, ``?`` where the box gave nothing.
        prob: Its calibrated probability, 0 where the box gave nothing.
        second: Second most probable character, or None.
        second_prob: Its probability.
        issue: Stable code of a ``BoxIssue``, or None.
    """

    position: int
    char: str
    prob: float
    second: str | None
    second_prob: float
    issue: str | None


class Alternative(NamedTuple):
    """Another VIN that the card may carry, and its posterior probability."""

    vin: str
    prob: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine's reading of one card; immutable once written.

    Attributes:
        card_id: The card.
        status: The verdict.
        vin: Most probable VIN, None unless the status is accepted or review.
        raw_vin: Most probable character of every box, ``?`` where it gave nothing.
        confidence: Calibrated probability that ``vin`` is the VIN on the card.
        check_digit: What the check digit says about ``vin``.
        changed: Positions (1 to 17) where ``vin`` differs from ``raw_vin``.
        reasons: Stable codes, in a fixed order; never empty unless accepted. Accepted readings
            have ``second_reader`` at most.
        chars: One outcome per box.
        alternatives: Next most probable VINs, most probable first.
        wmi: First three characters of ``vin``.
        maker: Maker of the WMI, if known.
        country: Country of the WMI, if known.
        model_years: Years that the code at position 10 may mean, oldest first.
    """

    card_id: str
    status: Status
    vin: str | None
    raw_vin: str
    confidence: float
    check_digit: CheckDigitState
    changed: tuple[int, ...]
    reasons: tuple[str, ...]
    chars: tuple[CharReading, ...]
    alternatives: tuple[Alternative, ...]
    wmi: str | None
    maker: str | None
    country: str | None
    model_years: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """How a posterior becomes a confidence and a verdict; stored in ``model.json``.

    The confidence is ``sigmoid(slope * logit(posterior) + intercept)``: a logistic
    (Platt) recalibration of the decoder's posterior on cards the model has not seen.

    Attributes:
        slope: Factor of the posterior's log odds.
        intercept: Shift of the log odds.
        accept_confidence: Smallest confidence that is accepted.
        min_read_boxes: Cards with fewer boxes that gave evidence are unreadable.
        max_empty_boxes_accepted: Accepted readings have at most this many boxes without
            evidence: what only the rules supply is a guess about somebody's car.
    """

    slope: float
    intercept: float
    accept_confidence: float
    min_read_boxes: int = 12
    max_empty_boxes_accepted: int = 0
