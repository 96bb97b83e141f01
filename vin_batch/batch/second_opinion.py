"""What becomes of a second look: which cards get one, and how it changes their readings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vin_batch.archive import ArchiveRoot
from vin_batch.batch.receipts import ReaderPart
from vin_batch.batch.score import Judge
from vin_batch.batch.second_look import LookResult, LookTask, OpenRecogniser
from vin_batch.classifier.model_card import ModelCard
from vin_batch.records import BoxIssue, CardPack, CardRef, Reading, Status
from vin_batch.second_reader.evidence import fuse, second_log_probs
from vin_batch.second_reader.parameters import Parameters, load_parameters
from vin_batch.second_reader.recogniser import ENGINE, find_weights, open_recogniser
from vin_batch.vin.alphabet import ALPHABET, VIN_LENGTH
from vin_batch.vin.reasons import Reason, in_order


@dataclass(frozen=True, slots=True)
class SecondReader:
    """A second reader that is installed and calibrated for the model.

    Attributes:
        parameters: Calibration, fusion and policies.
        weights: The recogniser's file.
        open_recogniser: Loads it, in a worker.
        engine: What runs it, with its version, for receipts.
    """

    parameters: Parameters
    weights: Path
    open_recogniser: OpenRecogniser
    engine: str


def load_second_reader(card: ModelCard) -> SecondReader:
    """Find and check everything that the second reader needs, before a run begins.

    Raises:
        ModelError: The extra is not installed, its weights are others than the calibration
            was fitted to, or the model has no calibration for them.
    """
    parameters = load_parameters(card)
    weights = find_weights(parameters.weights_sha256)
    return SecondReader(parameters, weights, open_recogniser, f"{ENGINE} {version(ENGINE)}")


@dataclass(frozen=True, slots=True)
class FirstReading:
    """A shard that waits for its second look.

    Attributes:
        readings: Of all its cards, by the first reader.
        rows: ``int[m]``, the cards that get a second look.
        log_probs: ``float32[m, 17, 33]`` of the first reader, of these cards.
        issues: ``uint8[m, 17]`` of these cards.
        extra_boxes: ``int32[m]`` of these cards.
    """

    readings: list[Reading]
    rows: NDArray[np.intp]
    log_probs: NDArray[np.float32]
    issues: NDArray[np.uint8]
    extra_boxes: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """Asks a second reader about the cards of a run.

    Attributes:
        reader: The second reader.
        mode: ``review`` or ``all``.
        judge: Judges by the policy of that mode.
    """

    reader: SecondReader
    mode: str
    judge: Judge

    def doubts(
        self, pack: CardPack, readings: list[Reading], log_probs: NDArray[np.float32]
    ) -> FirstReading:
        """Choose the cards that get a second look; they may be none."""
        read = (pack.issues == BoxIssue.NONE).any(axis=1)
        wanted = [self.mode == "all" or r.status is Status.REVIEW for r in readings]
        rows = np.flatnonzero(read & np.array(wanted, bool))
        return FirstReading(
            readings, rows, log_probs[rows], pack.issues[rows], pack.extra_boxes[rows]
        )

    def task(
        self, first: FirstReading, pack: CardPack, cards: Sequence[CardRef], root: ArchiveRoot
    ) -> LookTask:
        """What a worker needs to know for the second look at a shard."""
        return LookTask(
            root=root,
            shard=pack.shard,
            cards=tuple(cards[row] for row in first.rows),
            boxes=first.issues == BoxIssue.NONE,
            contents=pack.content_digests[first.rows],
            weights=self.reader.weights,
            weights_sha256=self.reader.parameters.weights_sha256,
            open_recogniser=self.reader.open_recogniser,
        )

    def readings(
        self, first: FirstReading, look: LookResult, check: Callable[[], None]
    ) -> list[Reading]:
        """Judge the evidence of both readers.

        Args:
            first: The shard as the first reader left it.
            look: What the second reader saw.
            check: Called before the work; may raise to stop.

        Returns:
            One reading per card of the shard; cards that were not looked at keep theirs.
        """
        check()
        looked = np.flatnonzero(look.seen.any(axis=1))
        result = list(first.readings)
        if not looked.size:
            return result
        rows = first.rows[looked]
        log_probs = self._fused(first.log_probs[looked], look.scores[looked], look.seen[looked])
        judged = self.judge(
            [result[row].card_id for row in rows],
            log_probs,
            first.issues[looked],
            first.extra_boxes[looked],
        )
        for row, reading in zip(rows, judged, strict=True):
            reasons = in_order({*map(Reason, reading.reasons), Reason.SECOND_READER})
            result[row] = replace(reading, reasons=reasons)
        return result

    def part(self, look: LookResult) -> ReaderPart:
        """What the receipt says about the second reader."""
        return ReaderPart(
            name=self.reader.parameters.name,
            sha256=self.reader.parameters.weights_sha256,
            engine=self.reader.engine,
            cards=int(look.seen.any(axis=1).sum()),
            boxes=int(look.seen.sum()),
            seconds=round(look.seconds, 4),
        )

    def _fused(
        self, first: NDArray[np.float32], scores: NDArray[np.float32], seen: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Log-probabilities ``float32[m, 17, 33]`` of both readers, where both saw a box."""
        classes, parameters = len(ALPHABET), self.reader.parameters
        second = second_log_probs(scores.reshape(-1, scores.shape[2]), parameters.calibration)
        both = fuse(first.reshape(-1, classes), second, parameters.fusion)
        return np.where(seen[:, :, None], both.reshape(-1, VIN_LENGTH, classes), first)
