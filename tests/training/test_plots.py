"""Pictures are written whole, show what was measured, and are refused with advice."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from vin_batch.errors import DiskError, UsageError
from vin_batch.training import plot_cards as card_pictures
from vin_batch.training import plot_characters, plot_curves
from vin_batch.training.judged import CardScore, JudgedCards, summarise
from vin_batch.training.measure import UNREAD, Answers, CharacterScore
from vin_batch.training.plots import plot_cards, plot_evaluation, require_matplotlib
from vin_batch.training.rejects import RejectScore

VIN, OTHER = "XTA210130D0000002", "XTA210130D0000003"


@pytest.fixture(scope="module")
def characters() -> list[CharacterScore]:
    rng = np.random.default_rng(0)
    truth = np.array(list("AB8" * 20))
    read = np.where(rng.random(60) < 0.8, truth, "8")
    read[0] = UNREAD
    probs = np.where(read == UNREAD, 0.0, rng.uniform(0.5, 1, 60))
    images = rng.integers(0, 256, (60, 20, 16)).astype(np.uint8)
    answers = Answers(images, np.arange(60), truth, read, probs)
    return [CharacterScore("some", 60, int(answers.right.sum()), {}, (), answers)]


@pytest.fixture(scope="module")
def judged() -> JudgedCards:
    rng = np.random.default_rng(1)
    n = 50
    vins = [VIN if right else OTHER for right in rng.random(n) < 0.9]
    vins[:5] = [VIN, VIN, VIN, OTHER, ""]
    confidence = rng.uniform(0.5, 1, n)
    confidence[4] = 0.0
    status = ["accepted" if sure > 0.7 else "review" for sure in confidence]
    status[3], status[4] = "accepted", "unreadable"
    return JudgedCards(
        card_ids=tuple(f"card_{row}" for row in range(n)),
        truth=(VIN,) * n,
        vins=tuple(vins),
        raw=(VIN,) * 10 + ("?" * 17,) * (n - 10),
        status=tuple(status),
        confidence=confidence,
        eligible=np.array(status) != "unreadable",
        probs=np.full((n, 17), 0.9),
        posterior=confidence**2,
        pictures={row: np.full((17, 28, 28), 10 * row, np.uint8) for row in (0, 1, 3)},
    )


@pytest.fixture(scope="module")
def cards(judged: JudgedCards) -> dict[str, CardScore]:
    return {"scan": summarise(judged)}


REJECTS = [
    RejectScore("blots", 2, {"blot": 1}, (("8", 1),), np.array([0.95]), (
        (np.full((30, 30), 90, np.uint8), "8", 0.95), (np.zeros((9, 9), np.uint8), "blot", 0.0),
    )),
]  # fmt: skip


def test_every_picture_is_written(
    characters: list[CharacterScore], cards: dict[str, CardScore], tmp_path: Path
) -> None:
    paths = plot_evaluation(characters, cards, REJECTS, tmp_path / "new" / "plots")
    assert [path.stem for path in paths] == [
        "sources", "classes", "confusion_matrix", "worst_confusions", "predictions",
        "reliability_characters", "rejects", "risk_coverage", "reliability_cards", "positions",
        "cards",
    ]  # fmt: skip
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(
        path.name for path in paths
    ), "nothing unfinished is left"
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        assert min(picture.shape) > 100
        assert picture.std() > 1, f"{path.name} is empty"


def test_cards_alone_and_none_at_all(cards: dict[str, CardScore], tmp_path: Path) -> None:
    bare = {"cards": CardScore(5, 1, 1, 1, 0, 0, {}, 0.0)}
    assert plot_cards(bare, tmp_path) == []
    known = CharacterScore("x", 2, 1, {}, ())
    names = [path.stem for path in plot_evaluation([known], cards, [], tmp_path)]
    assert names == ["risk_coverage", "reliability_cards", "positions", "cards"]


def test_the_matrix_counts_wrong_answers_only(characters: list[CharacterScore]) -> None:
    answers = characters[0].answers
    assert answers is not None
    axes = plot_characters.confusion_matrix(characters).axes[0]
    shown = sorted(text.get_text() for text in axes.texts if text.get_text().isdigit())
    wrong = [(t, r) for t, r in zip(answers.truth, answers.read, strict=True) if t != r]
    assert sum(map(int, shown)) == len(wrong)
    assert axes.get_xticklabels()[-1].get_text() == "none", "images without a result"


def test_the_curve_ends_where_all_are_accepted(judged: JudgedCards) -> None:
    axes = plot_curves.risk_coverage({"scan": judged}).axes[0]
    ends = {line.get_label(): line.get_xdata()[-1] for line in axes.lines[:3]}  # type: ignore[index]
    assert ends["posterior of the decoder, all cards"] == 1
    assert ends["as accepted: recalibrated confidence"] == pytest.approx(49 / 50)


def test_wrong_accepted_cards_come_first(judged: JudgedCards) -> None:
    titles = [
        axes.get_title(loc="left") for axes in card_pictures.card_sheet({"scan": judged}).axes
    ]
    assert len(titles) == 3
    assert "card_3: accepted" in titles[0]
    assert f"VIN {OTHER} is wrong, it is {VIN}" in titles[0]
    assert "VIN right" in titles[1]


def test_without_matplotlib_there_is_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: object, **more: object) -> object:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match="matplotlib is not installed") as caught:
        require_matplotlib()
    assert "vin_batch[train]" in caught.value.advice


def test_a_folder_that_cannot_be_made(
    characters: Sequence[CharacterScore], cards: dict[str, CardScore], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DiskError, match="cannot make"):
        plot_evaluation(characters, cards, [], tmp_path / "file" / "plots")
