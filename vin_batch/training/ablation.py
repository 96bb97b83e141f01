"""Comparisons: variants of data, network or options, trained and measured on equal terms."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vin_batch.errors import UsageError
from vin_batch.preprocess import IMAGE_SIDE, preprocess_image
from vin_batch.records import BoxIssue
from vin_batch.training import ablation_data as data_room
from vin_batch.training.ablation_data import Drawings, GlyphStore, Measured
from vin_batch.training.ablation_results import RejectAnswers, Result, Results, Score
from vin_batch.training.course import Data
from vin_batch.training.fit import TrainingPlan, train_on_pool
from vin_batch.training.held_out import whole
from vin_batch.training.measure import top_probs
from vin_batch.training.rejects import reject_crops
from vin_batch.training.sources import training_rejects, training_sources

LOGGER = logging.getLogger(__name__)

PROCEDURE: Final = 1
"""Raised when the same variant would be trained or measured in another way."""
OPTIONS: Final = (
    "batch", "learning_rate", "weight_decay", "label_smoothing", "mixup", "jitter", "ema_decay",
    "reject_share", "mixed_precision", "passes",
)  # fmt: skip
"""Fields of a ``TrainingPlan`` that a variant may change; what decides the glyphs is for all."""
UNUSED: Final = ("workers", "stop_after")
"""Fields that decide nothing in a training on one pool."""
REJECT_CROPS: Final = 100
"""Crops of every kind of reject."""
SURE: Final = 0.9
"""Top probability above which an answer to a reject counts as confidently wrong."""
HELD_OUT: Final = "held-out people"
_NO_IMAGES: Final = np.zeros((0, IMAGE_SIDE, IMAGE_SIDE), np.uint8)


@dataclass(frozen=True, slots=True)
class Variant:
    """One training of a comparison.

    Attributes:
        arch: Name of the network.
        writers: Which synthetic writers take part, of ``ablation_data.WRITERS``.
        left_out: Family of sources that takes no part and is measured; empty for none.
        option: One change of the plan, ``name=value``; empty for none.
        seed: Seed of the weights and the order.
    """

    arch: str
    writers: str
    left_out: str
    option: str
    seed: int


@dataclass(frozen=True, slots=True)
class Budget:
    """What every variant is given, and what it is measured on.

    Attributes:
        plan: The plan before a variant's changes; its seed is that of glyphs and drawing.
        images: Glyphs chosen for a training.
        at_most: Images measured of a source.
        regional_writers: People who write the regional shapes.
        rejects: Whether the answers to what is no character are measured.
    """

    plan: TrainingPlan
    images: int
    at_most: int
    regional_writers: int
    rejects: bool


def variants(
    archs: Sequence[str],
    writers: Sequence[str],
    left_out: Sequence[str],
    options: Sequence[str],
    seeds: Sequence[int],
) -> list[Variant]:
    """All combinations; those to be compared with each other follow each other.

    Args:
        archs: Names of networks.
        writers: Keys of ``ablation_data.WRITERS``.
        left_out: Sources; empty for none left out.
        options: Changes of the plan; the plan without a change is the first variant.
        seeds: Seeds.
    """
    families = list(dict.fromkeys(map(data_room.family_name, left_out))) or [""]
    return [
        Variant(arch, who, left, option, seed)
        for seed, left, option, arch, who in itertools.product(
            seeds, families, ["", *options], archs, writers
        )
    ]


def changed(plan: TrainingPlan, option: str) -> TrainingPlan:
    """A plan with one field changed.

    Args:
        plan: The plan.
        option: ``name=value``, or nothing.

    Raises:
        UsageError: The field is unknown, or the value is not of its type.
    """
    if not option:
        return plan
    name, equals, text = option.partition("=")
    if not equals or name not in OPTIONS:
        raise UsageError(
            f"cannot change a training by {option!r}",
            f"Give NAME=VALUE; names are {', '.join(OPTIONS)}.",
        )
    kinds = {field.name: type(getattr(plan, field.name)) for field in fields(plan)}
    try:
        value = _parsed(text, kinds[name])
    except ValueError as error:
        raise UsageError(f"{option!r}: {error}") from error
    return replace(plan, **{name: value})


def _parsed(text: str, kind: type) -> Any:  # noqa: ANN401 - of the type asked for
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError("the value must be true or false")
        return text == "true"
    return kind(text)


class Comparison:
    """The shared parts of a comparison: glyphs, drawings, measured images.

    Args:
        data: The packs.
        alphabet: Class order.
        budget: What every variant is given.
        asked: The variants; only what they need is prepared.
        work: Folder to keep drawings in, or None.
    """

    def __init__(
        self,
        data: Data,
        alphabet: str,
        budget: Budget,
        asked: Sequence[Variant],
        work: Path | None,
    ) -> None:
        self._data, self._alphabet, self._budget = data, alphabet, budget
        self._people = tuple(pack.name for pack in data.training)
        self._left_out = {
            name: data_room.family(name, self._people)
            for name in sorted({variant.left_out for variant in asked if variant.left_out})
        }
        self._asked, self._work = asked, work
        self._sources: dict[str, Measured] = {}

    @cached_property
    def _drawings(self) -> Drawings:
        seed = self._budget.plan.seed
        path = self._work / f"drawn-{seed}.npz" if self._work is not None else None
        names = [name for name in self._store.names if name != data_room.REJECTS]
        made_from = json.dumps([self._data.digests, names, PROCEDURE]).encode()
        labels = self._store.labels[self._store.characters].tobytes()
        digest = hashlib.sha256(labels + made_from).hexdigest()
        return Drawings(self._store, seed, self._budget.plan.workers, path, digest)

    @cached_property
    def _store(self) -> GlyphStore:
        """Every source that a variant needs; rejects of no source that some variant leaves out."""
        plan, asked = self._budget.plan, self._asked
        wanted = frozenset().union(*(data_room.WRITERS[variant.writers] for variant in asked))
        shown = replace(
            plan,
            fonts="fonts" in wanted,
            stroke_writers=plan.stroke_writers if "strokes" in wanted else 0,
            reject_share=max(changed(plan, variant.option).reject_share for variant in asked),
        )
        packs = training_sources(self._data.folder, self._data.training, self._alphabet, shown)
        away = {name for family in self._left_out.values() for name in family}
        return data_room.gather(
            packs, self._alphabet, training_rejects(self._data.folder, shown, away)
        )

    @cached_property
    def _common(self) -> list[Measured]:
        """What every variant is measured on."""
        packs = [pack for pack in self._data.held_out if pack.name not in self._people]
        at_most = self._budget.at_most
        measured = [
            data_room.measured_packs(pack.name, [pack], self._alphabet, at_most)
            for pack in packs
            if len(pack.labels)
        ]
        if self._budget.regional_writers:
            writers = self._budget.regional_writers
            measured.append(data_room.regional_shapes(writers, self._alphabet))
        return measured

    def _left_out_source(self, name: str) -> Measured:
        """All of a source, or the held-out people of all sources where none is left out."""
        if name not in self._sources:
            members = self._left_out.get(name, self._people)
            parts = [pack for pack in self._data.held_out if pack.name in members]
            if name:
                parts += [pack for pack in self._data.training if pack.name in members]
            self._sources[name] = data_room.measured_packs(
                name or HELD_OUT, [whole(part) for part in parts], self._alphabet,
                self._budget.at_most,
            )  # fmt: skip
        return self._sources[name]

    @cached_property
    def _rejects(self) -> dict[str, tuple[NDArray[np.uint8], int]]:
        """Images of every kind of reject that the preprocessing lets pass, of how many."""
        found: dict[str, tuple[NDArray[np.uint8], int]] = {}
        if not self._budget.rejects:
            return found
        people = [pack for pack in self._data.held_out if pack.name in self._people]
        for kind, crops in reject_crops(self._data.folder, people, REJECT_CROPS).items():
            passed = [preprocess_image(crop) for crop in crops]
            images = [image for image, issue in passed if issue == BoxIssue.NONE]
            found[kind] = (np.stack(images), len(crops)) if images else (_NO_IMAGES, len(crops))
        return found

    def plan_of(self, variant: Variant) -> TrainingPlan:
        """The plan that a variant is trained with."""
        return replace(
            changed(self._budget.plan, variant.option),
            arch=variant.arch,
            seed=variant.seed,
            pools=1,
            pool_images=self._budget.images,
        )

    def identity(self, variant: Variant) -> str:
        """Digest of everything that decides the result of a variant."""
        plan = {name: value for name, value in asdict(self.plan_of(variant)).items()
                if name not in UNUSED}  # fmt: skip
        budget = {name: value for name, value in asdict(self._budget).items() if name != "plan"}
        parts: list[Any] = [PROCEDURE, asdict(variant), plan, budget, self._budget.plan.seed,
                 self._data.digests, self._left_out.get(variant.left_out),
                 self._left_out if self.plan_of(variant).reject_share else None]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def train(self, variant: Variant) -> Result:
        """Train and measure one variant."""
        plan = self.plan_of(variant)
        started = time.monotonic()
        away = self._left_out.get(variant.left_out, ())
        kept = [name for name in self._people if name not in away]
        kept += sorted(data_room.WRITERS[variant.writers] & set(self._store.names))
        chances = self._store.probabilities(kept, plan.reject_share)
        waiting = self._store.waiting_times(self._budget.plan.seed)
        pool = self._drawings.pool(data_room.choose(chances, waiting, self._budget.images))
        drawn, cpu = time.monotonic(), time.process_time()
        logits = train_on_pool(pool, len(self._alphabet), plan)
        trained, cpu = time.monotonic(), time.process_time() - cpu
        sets = [self._left_out_source(variant.left_out), *self._common]
        return Result(
            identity=self.identity(variant),
            variant=asdict(variant),
            images=len(pool.images),
            passes=plan.passes,
            scores={measured.name: _score(logits, measured) for measured in sets},
            rejects=self._reject_answers(logits),
            seconds=round(trained - drawn, 1),
            cpu_seconds=round(cpu, 1),
            drawing_seconds=round(drawn - started, 1),
        )

    def _reject_answers(self, logits: Callable[..., NDArray[np.float32]]) -> list[RejectAnswers]:
        answers = []
        for kind, (images, crops) in self._rejects.items():
            probs = top_probs(logits(images)) if len(images) else np.zeros(0)
            answers.append(
                RejectAnswers(
                    kind=kind,
                    crops=crops,
                    answered=len(probs),
                    mean=round(float(probs.mean()), 4) if len(probs) else None,
                    sure=int((probs > SURE).sum()),
                )
            )
        return answers


def _score(logits: Callable[..., NDArray[np.float32]], measured: Measured) -> Score:
    wrong = (logits(measured.images).argmax(axis=1) != measured.labels) | measured.lost
    return Score(len(measured.labels), tuple(int(row) for row in np.flatnonzero(wrong)))


def compare(comparison: Comparison, asked: Sequence[Variant], results: Results) -> list[Result]:
    """Train what the results do not hold yet.

    Args:
        comparison: The shared parts.
        asked: The variants.
        results: Where results are kept; each is added when it is there.

    Returns:
        One result for each variant, in their order.
    """
    for number, variant in enumerate(asked, 1):
        identity = comparison.identity(variant)
        if results.get(identity) is None:
            LOGGER.info("%d of %d: %s", number, len(asked), variant)
            results.add(comparison.train(variant))
    return known(comparison, asked, results)


def known(comparison: Comparison, asked: Sequence[Variant], results: Results) -> list[Result]:
    """The results that are there already, in the order of the variants."""
    return [found for variant in asked if (found := results.get(comparison.identity(variant)))]
