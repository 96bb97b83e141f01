"""Refits recalibration and threshold on a department's own labelled cards.

The network, its temperature and its tail stay as they are: a thousand cards say little
about 33 characters, and much about how often a whole VIN is right.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from vin_batch.classifier.artefact import find_artefact
from vin_batch.classifier.model_card import CARD_NAME, ModelCard
from vin_batch.errors import DiskError, UsageError
from vin_batch.records import DecisionPolicy
from vin_batch.training.calibrate import (
    MAX_WRONG_SHARE,
    MIN_ACCEPTED,
    NEVER,
    SAFETY,
    Outcomes,
    fit_policy,
)
from vin_batch.training.curves import expected_calibration_error
from vin_batch.training.intervals import RULE_OF_THREE, cards_without_error, wilson
from vin_batch.training.labelled import Evidence
from vin_batch.training.measure import outcomes
from vin_batch.training.model_readme import write_model_readme
from vin_batch.training.publish import update_card
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.verdict import confidences

NAMED_CARDS: Final = 10
"""Wrong cards that an error message names."""
_WHY: Final = (
    f"None wrong among n accepted cards leaves room for a share of {RULE_OF_THREE:.0f}/n wrong "
    "ones (rule of three, 95 %): "
    f"{MIN_ACCEPTED:,} bound it to {100 * RULE_OF_THREE / MIN_ACCEPTED:.1f} %, and "
    f"{cards_without_error(MAX_WRONG_SHARE):,} to the {100 * MAX_WRONG_SHARE:g} % of double "
    "keying."
)


@dataclass(frozen=True, slots=True)
class Recalibration:
    """What a refitting found, on the cards that it was fitted to.

    Attributes:
        policy: The new policy.
        cards: Labelled cards.
        acceptable: Cards that nothing but their confidence can keep from being accepted.
        accepted: Cards above the new threshold.
        accepted_wrong: Wrong ones among them.
        calibration_error_before: Expected calibration error with the old policy.
        calibration_error: The same with the new one.
    """

    policy: DecisionPolicy
    cards: int
    acceptable: int
    accepted: int
    accepted_wrong: int
    calibration_error_before: float
    calibration_error: float

    def text(self) -> str:
        """What a person wants to know before using the new model."""
        low, high = wilson(self.accepted_wrong, self.accepted)
        return "\n".join(
            [
                f"labelled cards          {self.cards}",
                f"can be accepted at all  {self.acceptable}",
                f"accepted                {self.accepted} "
                f"({100 * self.accepted / self.cards:.1f} %), confidence from "
                f"{self.policy.accept_confidence:.6f}",
                f"wrong among them        {self.accepted_wrong} (95 % interval of the share: "
                f"{100 * low:.2f} to {100 * high:.2f} %)",
                f"calibration error       {self.calibration_error_before:.4f} before, "
                f"{self.calibration_error:.4f} now",
                "The threshold was chosen on these very cards: measure it on others before you "
                "rely on it.",
            ]
        )


def require_enough(cards: int) -> None:
    """Refuse, before anything is read, a truth that can never be enough.

    Raises:
        UsageError: Says how many cards are needed, and why.
    """
    if cards < MIN_ACCEPTED:
        raise UsageError(
            f"{cards} labelled cards are too few: a threshold must be seen on at least "
            f"{MIN_ACCEPTED} accepted ones",
            f"{_WHY} Some cards go to review whatever the threshold is, so label "
            f"{2 * MIN_ACCEPTED:,} or more.",
        )


def recalibrate(evidence: Evidence, before: DecisionPolicy, decoder: Decoder) -> Recalibration:
    """Fit a new policy.

    Args:
        evidence: What labelled cards say.
        before: The model's policy; its rules about boxes are kept.
        decoder: The VIN decoder.

    Returns:
        The new policy and how it does.

    Raises:
        UsageError: Too few cards can be accepted, or no threshold is pure enough.
    """
    found = outcomes(
        evidence.log_probs, evidence.issues, evidence.extra_boxes, evidence.vins, decoder
    )
    acceptable = int(found.acceptable.sum())
    if acceptable < MIN_ACCEPTED:
        wanted = math.ceil(len(evidence.card_ids) * MIN_ACCEPTED / max(acceptable, 1))
        raise UsageError(
            f"only {acceptable} of {len(evidence.card_ids)} labelled cards can be accepted at "
            f"all; a threshold must be seen on at least {MIN_ACCEPTED}",
            _WHY + (f" Label about {wanted:,} cards." if acceptable else ""),
        )
    fitted = fit_policy(found)
    if fitted.accept_confidence >= NEVER:
        raise _impure(evidence, found)
    policy = replace(
        fitted,
        min_read_boxes=before.min_read_boxes,
        max_empty_boxes_accepted=before.max_empty_boxes_accepted,
    )
    old = confidences(found.posterior, before)
    confidence = confidences(found.posterior, policy)
    accepted = found.acceptable & (confidence >= policy.accept_confidence)
    return Recalibration(
        policy=policy,
        cards=len(evidence.card_ids),
        acceptable=acceptable,
        accepted=int(accepted.sum()),
        accepted_wrong=int((accepted & ~found.correct).sum()),
        calibration_error_before=expected_calibration_error(old, found.correct),
        calibration_error=expected_calibration_error(confidence, found.correct),
    )


def publish_recalibrated(
    source: ModelCard, out: Path, found: Recalibration, record: dict[str, Any]
) -> None:
    """Write a new model directory: the same weights, the new policy, and how it was made.

    Args:
        source: The model whose weights are kept.
        out: The new directory; it must not exist, or be empty.
        found: The new policy and how it does.
        record: What ``model.json`` says of the calibration besides.

    Raises:
        UsageError: ``out`` holds something.
        DiskError: A file cannot be written.
    """
    require_new(out)
    calibration = {
        **record,
        "cards": found.cards,
        "acceptable": found.acceptable,
        "accepted": found.accepted,
        "accepted_wrong": found.accepted_wrong,
        "calibration_error": round(found.calibration_error, 4),
        "previous": {"model": source.name, "policy": asdict(source.policy)},
    }
    # Cards measured with the old policy say nothing about the new one.
    metrics = {**source.details.get("metrics", {}), "cards": {}}
    changes = {"name": out.name, "policy": found.policy, "calibration": calibration}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
            new = Path(folder) / out.name
            new.mkdir()
            shutil.copyfile(source.weights, new / source.weights.name)
            shutil.copyfile(source.directory / CARD_NAME, new / CARD_NAME)
            if (artefact := find_artefact(source)) is not None:
                shutil.copyfile(artefact.path, new / artefact.path.name)
            update_card(new, **changes, metrics=metrics)
            write_model_readme(new)
            new.replace(out)
    except OSError as error:
        raise DiskError(f"cannot write {out}: {error.strerror}", "Give another place.") from error


def require_new(out: Path) -> None:
    """Refuse to write into a directory that holds something.

    Raises:
        UsageError: It does, or is a file.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(
            f"{out} exists already", "A calibration makes a new model: name a new directory."
        )


def _impure(evidence: Evidence, found: Outcomes) -> UsageError:
    """Name the wrong cards that stand in the way of every threshold."""
    rows = np.flatnonzero(found.acceptable)
    surest = rows[np.argsort(-found.posterior[rows], kind="stable")][:MIN_ACCEPTED]
    wrong = [evidence.card_ids[row] for row in surest if not found.correct[row]]
    allowed = math.floor(MIN_ACCEPTED * MAX_WRONG_SHARE / SAFETY)
    more = f" and {len(wrong) - NAMED_CARDS} more" if len(wrong) > NAMED_CARDS else ""
    return UsageError(
        f"no threshold is pure enough: of the {MIN_ACCEPTED} surest cards {len(wrong)} are "
        f"wrong, at most {allowed} may be: {', '.join(wrong[:NAMED_CARDS])}{more}",
        "Look at these cards: `vin-batch evaluate --cards` shows both VINs. Where the truth is "
        "wrong, correct it; where the model is, it needs training on such hands.",
    )
