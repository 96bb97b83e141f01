"""Reading a box beside the other boxes of its card: a second stage that was not shipped.

One person wrote all 17 boxes. ``Style`` describes how alike a person's characters are, and
``style_evidence`` compares doubtful boxes with the sure ones of their card, without positions:
what a VIN may hold is the decoder's business. ``changes`` tells what that changes for people
not learned from, and ``mismatched`` makes the control: a gain that the control shows as well
is not about people. ``vin_batch.training.context_study`` prints the study; the model card
tells what came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]

EMPTY: Final = -1
"""Label of a box that shows nothing."""
DIRECTIONS: Final = 12
SHRINKAGE: Final = 0.1
"""Share of a round scatter in the whitening, against chance in small directions."""
MOST_SHARE: Final = 0.45
"""Of the variance, for either share: something must remain from box to box."""
SURE: Final = 0.9
"""Boxes read with at least this probability show the person's shapes."""
DOUBTFUL: Final = 0.98
"""Boxes read with less than this probability are compared with them."""
CANDIDATES: Final = 4
MOST_EVIDENCE: Final = 4.0
"""Natural logarithm: a normal distribution is wrong far out."""
WEIGHTS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Candidates for the share of the evidence that is used; 0 switches it off."""
RESAMPLES: Final = 2_000


@dataclass(frozen=True, slots=True)
class WriterCards:
    """Cards of known writers as the recogniser sees them.

    Attributes:
        features: ``float32[n, 17, d]``, input of the recogniser's last layer.
        log_probs: ``float32[n, 17, 33]``, calibrated.
        labels: ``int16[n, 17]`` true classes, ``EMPTY`` where a box shows nothing.
        writers: ``int64[n]``, who wrote the card.
    """

    features: NDArray[np.float32]
    log_probs: NDArray[np.float32]
    labels: NDArray[np.int16]
    writers: NDArray[np.int64]

    @property
    def shown(self) -> NDArray[np.bool_]:
        """``bool[n, 17]``, boxes that show a character."""
        return np.asarray(self.labels != EMPTY)

    def where(self, cards: NDArray[Any]) -> WriterCards:
        """Only some cards, by mask or by number."""
        return WriterCards(
            self.features[cards], self.log_probs[cards], self.labels[cards], self.writers[cards]
        )


@dataclass(frozen=True, slots=True)
class Style:
    """How people differ from each other and resemble themselves.

    In every direction a character's distance from the mean of its class has variance 1, of
    which ``shared`` is common to all characters of a person and ``own`` to all that show the
    same class; what remains differs from box to box (style-consistent classification after
    Sarkar and Nagy, 2005, with factors as in probabilistic linear discriminant analysis).

    Attributes:
        means: ``float64[33, d]``, mean features of the classes.
        directions: ``float64[d, k]``, in which people resemble themselves the most.
        shared: ``float64[k]``.
        own: ``float64[k]``.
    """

    means: Reals
    directions: Reals
    shared: Reals
    own: Reals


def fit_style(learned: Sequence[WriterCards], others: Sequence[WriterCards]) -> Style:
    """Find the directions, and on other people the variances: chosen ones look too good.

    Args:
        learned: Cards of the people that directions are chosen on.
        others: Cards of other people.
    """
    features = np.concatenate([cards.features[cards.shown] for cards in learned]).astype(np.float64)
    labels = np.concatenate([cards.labels[cards.shown] for cards in learned])
    everything = features.mean(axis=0)
    means = np.stack(
        [
            features[labels == label].mean(axis=0) if (labels == label).any() else everything
            for label in range(learned[0].log_probs.shape[2])
        ]
    )
    residuals = features - means[labels]
    scatter = residuals.T @ residuals / len(residuals)
    even = np.eye(len(scatter)) * np.trace(scatter) / len(scatter)
    variances, axes = np.linalg.eigh((1 - SHRINKAGE) * scatter + SHRINKAGE * even)
    whitening = axes / np.sqrt(variances)
    same, _ = _moments(learned, means, whitening)
    _, turned = np.linalg.eigh(same)
    directions = whitening @ turned[:, : -DIRECTIONS - 1 : -1]
    directions /= (residuals @ directions).std(axis=0)
    same, different = (np.diag(found) for found in _moments(others, means, directions))
    shared = np.clip(different, 0, MOST_SHARE)
    return Style(means, directions, shared, np.clip(same - shared, 0, MOST_SHARE))


def _moments(parts: Sequence[WriterCards], means: Reals, directions: Reals) -> tuple[Reals, Reals]:
    """Mean products of two boxes of a person: of the same class, and of different ones."""
    products, weights = [], []
    for cards in parts:
        for writer in np.unique(cards.writers):
            boxes = cards.shown & (cards.writers == writer)[:, None]
            labels = cards.labels[boxes]
            x = (cards.features[boxes] - means[labels]) @ directions
            sums = np.stack([x[labels == label].sum(axis=0) for label in np.unique(labels)])
            counts = np.unique(labels, return_counts=True)[1]
            within = sums.T @ sums
            total = x.sum(axis=0)
            products.append((within - x.T @ x, np.outer(total, total) - within))
            weights.append(((counts**2 - counts).sum(), len(x) ** 2 - (counts**2).sum()))
    # A person counts by the root of the number of pairs, so that long ones do not rule.
    roots = np.sqrt(np.maximum(np.array(weights, np.float64), 1e-9))
    same, different = (
        sum(product[kind] / root for product, root in zip(products, roots[:, kind], strict=True))
        / roots[:, kind].sum()
        for kind in (0, 1)
    )
    return np.asarray(same), np.asarray(different)


def style_evidence(style: Style, cards: WriterCards) -> Reals:
    """What the sure boxes of a card say about its doubtful ones, ``float64[n, 17, 33]``.

    The logarithm of how much better a candidate explains the box given the shapes of this
    person's sure boxes than without them; 0 for boxes and classes that are not in doubt.
    """
    evidence = np.zeros(cards.log_probs.shape)
    top, prob = cards.log_probs.argmax(axis=2), np.exp(cards.log_probs.max(axis=2))
    places, centres = cards.features @ style.directions, style.means @ style.directions
    for card, box in np.argwhere(cards.shown & (prob < DOUBTFUL)):
        sure = np.flatnonzero(cards.shown[card] & (prob[card] >= SURE))
        if not len(sure := sure[sure != box]):
            continue
        classes, candidates = top[card, sure], np.argsort(-cards.log_probs[card, box])[:CANDIDATES]
        seen = places[card, sure] - centres[classes]
        here = places[card, box] - centres[candidates]
        found = _log_ratio(style, seen, classes, here, candidates)
        evidence[card, box, candidates] = np.clip(found, -MOST_EVIDENCE, MOST_EVIDENCE)
    return evidence


def _log_ratio(
    style: Style,
    seen: Reals,
    classes: NDArray[np.int64],
    here: Reals,
    candidates: NDArray[np.int64],
) -> Reals:
    """``log N(here; mean, variance given seen) - log N(here; 0, 1)``, ``float64[candidates]``."""
    own, shared = style.own[:, None, None], style.shared[:, None, None]
    covariance = shared + own * (classes[:, None] == classes)
    covariance = covariance + (1 - own - shared) * np.eye(len(classes))
    towards = shared + own * (candidates[:, None] == classes)
    solved = np.linalg.solve(
        covariance, np.concatenate([seen.T[..., None], towards.transpose(0, 2, 1)], axis=2)
    )
    means = towards @ solved[..., :1]
    variances = 1 - np.einsum("kcj,kjc->kc", towards, solved[..., 1:])
    off = here.T - means[..., 0]
    ratio = -0.5 * np.log(variances) - off**2 / (2 * variances) + here.T**2 / 2
    return np.asarray(ratio.sum(axis=0))


def with_evidence(cards: WriterCards, evidence: Reals, weight: float) -> Reals:
    """Log-probabilities with a share of the evidence, ``float64[n, 17, 33]``."""
    return _normalised(cards.log_probs + weight * evidence)


def best_weight(cards: WriterCards, evidence: Reals) -> float:
    """The weight of ``WEIGHTS`` with the smallest loss, for people not learned from."""
    losses = [_losses(with_evidence(cards, evidence, share), cards).sum() for share in WEIGHTS]
    return float(WEIGHTS[int(np.argmin(losses))])


def _normalised(log_odds: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(log_odds - np.logaddexp.reduce(log_odds, axis=2, keepdims=True), np.float64)


def _losses(log_probs: NDArray[np.floating], cards: WriterCards) -> NDArray[np.float64]:
    true = np.maximum(cards.labels, 0)[..., None].astype(np.int64)
    return np.asarray(-np.take_along_axis(log_probs, true, axis=2)[..., 0] * cards.shown)


def mismatched(cards: WriterCards, seed: int) -> WriterCards:
    """The control: the same characters on every card, but every box by some other writer."""
    rng = np.random.default_rng(seed)
    features, log_probs = cards.features.copy(), cards.log_probs.copy()
    for label in np.unique(cards.labels[cards.shown]):
        card, box = np.nonzero(cards.labels == label)
        order = rng.permutation(len(card))
        features[card, box] = cards.features[card[order], box[order]]
        log_probs[card, box] = cards.log_probs[card[order], box[order]]
    return replace(cards, features=features, log_probs=log_probs)


def changes(cards: WriterCards, after: NDArray[np.floating]) -> NDArray[np.float64]:
    """Share read right and mean loss; 95 % intervals by resampling writers, not boxes.

    Returns:
        ``float64[2, 4]``: before, after, lower and upper bound of the change.
    """
    _, writer = np.unique(cards.writers, return_inverse=True)
    columns: list[NDArray[Any]] = [cards.shown]
    for log_probs in (cards.log_probs, after):
        right = (log_probs.argmax(axis=2) == cards.labels) & cards.shown
        columns += [right, _losses(log_probs, cards)]
    sums = np.stack([np.bincount(writer, column.sum(axis=1)) for column in columns], axis=1)
    drawn = np.random.default_rng(0).integers(0, len(sums), (RESAMPLES, len(sums)))
    totals = np.stack([sums[rows].sum(axis=0) for rows in drawn])
    moves = (totals[:, 3:] - totals[:, 1:3]) / totals[:, :1]
    means = sums[:, 1:].sum(axis=0) / sums[:, 0].sum()
    return np.column_stack([means[:2], means[2:], *np.percentile(moves, [2.5, 97.5], axis=0)])
