"""Reads a labelled archive with the production path and keeps the evidence.

The readings of a run hold the two most probable characters of a box; a refitting of the
calibration needs all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vin_batch.archive import open_archive, walk
from vin_batch.batch.job import JobTools, run_job
from vin_batch.batch.plan import Plan
from vin_batch.batch.receipts import iter_receipts
from vin_batch.batch.rundir import RunDir
from vin_batch.batch.score import Judge
from vin_batch.config import RunConfig
from vin_batch.records import DecisionPolicy, Reading

NOT_READ = "-"
"""Stands for the digest of a card whose files nobody could read."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the boxes of labelled cards say, ``n`` cards.

    Attributes:
        card_ids: Names of the cards.
        vins: Their VINs; empty where a card holds none.
        log_probs: ``float32[n, 17, 33]``, calibrated.
        issues: ``uint8[n, 17]`` of ``BoxIssue``.
        extra_boxes: ``int32[n]``.
        digest: sha256 over names, VINs and the contents of the image files.
    """

    card_ids: tuple[str, ...]
    vins: tuple[str, ...]
    log_probs: NDArray[np.float32]
    issues: NDArray[np.uint8]
    extra_boxes: NDArray[np.int32]
    digest: str


@dataclass(slots=True)
class _Listener:
    """Hears what the judge is told, card by card."""

    heard: dict[str, tuple[NDArray[np.float32], NDArray[np.uint8], int]] = field(
        default_factory=dict
    )

    def bind(self, judge: Judge) -> Judge:
        def listening(
            card_ids: Sequence[str],
            log_probs: NDArray[np.float32],
            issues: NDArray[np.uint8],
            extra_boxes: NDArray[np.int32],
        ) -> list[Reading]:
            for row, card_id in enumerate(card_ids):
                self.heard[card_id] = (log_probs[row], issues[row], int(extra_boxes[row]))
            return judge(card_ids, log_probs, issues, extra_boxes)

        return listening


def archive_cards(archive: Path) -> list[str]:
    """Ids of all cards of an archive.

    Raises:
        ArchiveError: The archive cannot be read.
    """
    return [card.card_id for card in walk(open_archive(archive))]


def gather_evidence(config: RunConfig, tools: JobTools, truth: Mapping[str, str]) -> Evidence:
    """Read an archive as ``vin-batch run`` does and keep what its boxes say.

    Args:
        config: The settings; its run directory must be new.
        tools: What the job is done with.
        truth: VIN by card id; other cards are read and left out.

    Returns:
        The evidence, in the archive's order.

    Raises:
        VinBatchError: See ``run_job``.
    """
    listener = _Listener()

    def bind(policy: DecisionPolicy) -> Judge:
        return listener.bind(tools.bind_judge(policy))

    run_job(config, replace(tools, bind_judge=bind))
    contents = _contents(RunDir(config.output))
    chosen = [card_id for card_id in contents if card_id in truth]
    heard = [listener.heard[card_id] for card_id in chosen]
    lines = [f"{card_id}\t{truth[card_id]}\t{contents[card_id]}\n" for card_id in chosen]
    return Evidence(
        card_ids=tuple(chosen),
        vins=tuple(truth[card_id] for card_id in chosen),
        log_probs=np.stack([card[0] for card in heard]),
        issues=np.stack([card[1] for card in heard]),
        extra_boxes=np.array([card[2] for card in heard], np.int32),
        digest=hashlib.sha256("".join(lines).encode()).hexdigest(),
    )


def _contents(run: RunDir) -> dict[str, str]:
    """Digest of every card's files, in plan order."""
    plan = Plan(run)
    found: dict[str, str] = {}
    for receipt in iter_receipts(run):
        digests = receipt.contents()
        for row, card in enumerate(plan.load(receipt.shard)):
            found[card.card_id] = NOT_READ if digests is None else digests[row].tobytes().hex()
    return found
