"""Comparisons: the same glyphs and drawings for all, sources left out whole, honest intervals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glyph_packs import as_pack, drawn_glyphs, write_data
from vin_batch.errors import UsageError
from vin_batch.training import ablation_data as data_room
from vin_batch.training.ablation_results import (
    RejectAnswers,
    Result,
    Results,
    Score,
    as_markdown,
    as_text,
    comparison_table,
    paired_difference,
    pooled_table,
    reject_rows,
)
from vin_batch.training.packs import GlyphPack
from vin_batch.training.pool import ImagePool, Rejects, build_bank
from vin_batch.training.strokes.writer import FORMS
from vin_batch.vin.alphabet import ALPHABET

if TYPE_CHECKING:
    from vin_batch.training.ablation import Comparison, Variant
    from vin_batch.training.fit import TrainingPlan

LETTERS = "A8Z"
NO_REJECTS = Rejects([], 0.0)


def pack(name: str, copies: int = 4, seed: int = 0) -> GlyphPack:
    return as_pack(name, *drawn_glyphs(LETTERS, copies, seed))


def score(images: int, *wrong: int) -> Score:
    return Score(images, wrong)


def result(identity: str, scores: dict[str, Score], **variant: object) -> Result:
    told = {"arch": "net", "writers": "people", "left_out": "", "option": "", "seed": 1, **variant}
    return Result(identity, told, 100, 2, scores, [], 1.0, 2.0, 3.0)


# --- choosing glyphs


@given(
    st.lists(st.floats(0.01, 1), min_size=4, max_size=30),
    st.integers(0, 2**32 - 1),
    st.data(),
)
def test_without_a_source_the_other_glyphs_stay(
    weights: list[float], seed: int, data: st.DataObject
) -> None:
    chances = np.array(weights)
    waiting = np.random.default_rng(seed).exponential(size=len(chances))
    count = data.draw(st.integers(1, len(chances) // 2))
    away = data.draw(st.sets(st.integers(0, len(chances) - 1), max_size=len(chances) // 2))
    fewer = chances.copy()
    fewer[list(away)] = 0
    chosen = set(data_room.choose(chances, waiting, count).tolist())
    left = data_room.choose(fewer, waiting, count)
    assert len(left) == count == len(set(left.tolist()))
    assert not away & set(left.tolist())
    assert chosen - away <= set(left.tolist())


def test_glyphs_are_chosen_by_their_weight() -> None:
    chances = np.repeat([0.3, 0.6, 0.1], 20_000)
    waiting = np.random.default_rng(5).exponential(size=len(chances))
    chosen = data_room.choose(chances, waiting, 600)
    shares = np.bincount(chosen // 20_000, minlength=3) / 600
    assert shares == pytest.approx([0.3, 0.6, 0.1], abs=0.06)


def test_more_images_than_glyphs_are_refused() -> None:
    with pytest.raises(UsageError, match="only 2 glyphs"):
        data_room.choose(np.array([0.5, 0.0, 0.5]), np.ones(3), 3)


# --- the store


def test_weights_are_those_of_a_bank_of_the_kept_sources() -> None:
    packs = [pack("people", 5), pack("strokes", 3, 1), pack("screen_mixed", 2, 2)]
    rejects = Rejects([np.ones((5, 5), np.float32)] * 4, 0.2)
    store = data_room.gather(packs, LETTERS, rejects)
    chances = store.probabilities(["people", "strokes"], 0.2)
    bank = build_bank(packs[:2], LETTERS, rejects=rejects)
    assert chances[chances > 0] == pytest.approx(bank.weights)
    assert store.labels[chances > 0].tolist() == bank.labels.tolist()
    assert chances[store.sources == store.names.index("screen_mixed")].sum() == 0
    without = store.probabilities(["people", "strokes"], 0.0)
    assert without[~store.characters].sum() == 0
    assert without.sum() == pytest.approx(1)


def test_random_numbers_of_a_source_do_not_depend_on_the_others() -> None:
    alone = data_room.gather([pack("b")], LETTERS, NO_REJECTS)
    among = data_room.gather([pack("a", 7, 3), pack("b")], LETTERS, NO_REJECTS)
    members = among.sources == among.names.index("b")
    assert alone.waiting_times(3).tolist() == among.waiting_times(3)[members].tolist()
    assert alone.drawing_seeds(3).tolist() == among.drawing_seeds(3)[members].tolist()
    assert alone.waiting_times(3).tolist() != alone.waiting_times(4).tolist()
    assert len({tuple(row) for row in among.drawing_seeds(3).tolist()}) == len(among.labels)


# --- drawings


def drawings(store: data_room.GlyphStore, path: Path | None, digest: str = "d") -> (
    data_room.Drawings
):  # fmt: skip
    return data_room.Drawings(store, 9, 1, path, digest)


def refuse(*_: object) -> object:
    raise AssertionError("drawn again")


def test_a_glyph_is_drawn_alike_whatever_is_drawn_with_it() -> None:
    store = data_room.gather([pack("a")], LETTERS, NO_REJECTS)
    few = drawings(store, None).pool(np.array([2, 7]))
    all_of_them = drawings(store, None).pool(np.arange(len(store.labels)))
    assert all_of_them.labels.tolist() == store.labels.tolist()
    assert few.images.tolist() == all_of_them.images[[2, 7]].tolist()


def test_drawings_are_kept_between_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = data_room.gather([pack("a")], LETTERS, NO_REJECTS)
    path = tmp_path / "drawn.npz"
    one, other = drawings(store, path), drawings(store, path)
    first, second = one.pool(np.array([0, 1])), other.pool(np.array([4, 5]))
    monkeypatch.setattr(data_room, "_draw", refuse)
    both = drawings(store, path).pool(np.array([0, 1, 4, 5]))
    assert both.images.tolist() == [*first.images.tolist(), *second.images.tolist()]
    with pytest.raises(AssertionError, match="drawn again"):
        drawings(store, path, "other data").pool(np.array([0]))


def test_rejects_are_not_kept(tmp_path: Path) -> None:
    rejects = Rejects([pack_glyph() for _ in range(2)], 0.5)
    store = data_room.gather([pack("a", 1)], LETTERS, rejects)
    drawings(store, tmp_path / "drawn.npz").pool(np.arange(len(store.labels)))
    with np.load(tmp_path / "drawn.npz", allow_pickle=False) as kept:
        assert kept["rows"].tolist() == [0, 1, 2]


def pack_glyph() -> NDArray[np.float32]:
    return build_bank([pack("x", 1)], LETTERS).glyphs[0]


def test_what_cannot_be_read_is_left_out_of_the_pool_and_counted() -> None:
    faint = Rejects([np.zeros((9, 9), np.float32)], 1.0)
    store = data_room.gather([pack("a", 1)], LETTERS, faint)
    pool = drawings(store, None).pool(np.arange(4))
    assert len(pool.images) == 3
    assert sum(pool.issues.values()) == 1


# --- what is measured


def test_a_part_of_a_large_source_is_measured_always_the_same() -> None:
    packs = [pack("a", 6)]
    some = data_room.measured_packs("a", packs, LETTERS, 5)
    again = data_room.measured_packs("a", packs, LETTERS, 5)
    assert len(some.labels) == 5
    assert some.images.tolist() == again.images.tolist()
    every = data_room.measured_packs("a", packs, LETTERS, 99)
    assert sorted(every.labels.tolist()) == sorted(LETTERS.index(str(c)) for c in packs[0].labels)


def test_an_image_without_a_result_counts_as_wrong() -> None:
    from vin_batch.training.ablation import _score

    white = as_pack("white", np.full((2, 40, 40), 255, np.uint8), "AA")
    measured = data_room.measured_packs("white", [white], LETTERS, 9)
    right = np.eye(3, dtype=np.float32)[measured.labels]
    assert measured.lost.all()
    assert _score(lambda images: right, measured).correct == 0


def test_regional_shapes_are_forms_that_exist() -> None:
    for character, names in data_room.REGIONAL_FORMS.items():
        assert set(names) <= {form.name for form in FORMS[character]}
    measured = data_room.regional_shapes(2, ALPHABET)
    shown = {ALPHABET[label] for label in measured.labels}
    assert shown == set(data_room.REGIONAL_FORMS)
    assert len(measured.labels) == 2 * sum(map(len, data_room.REGIONAL_FORMS.values()))
    assert measured.lost.mean() < 0.1


@pytest.mark.parametrize("name", ["mnist", "emnist_digits"])
def test_sources_that_share_writers_go_together(name: str) -> None:
    known = ["emnist_digits", "mnist", "nist_letters"]
    assert data_room.family(name, known) == ("mnist", "emnist_digits")
    assert data_room.family_name(name) == "mnist"
    assert data_room.family("nist", known) == ("nist_letters",)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(UsageError, match="no source is called forms"):
        data_room.family("forms", ["sheets"])


# --- variants


def test_options_have_the_type_of_their_field() -> None:
    from vin_batch.training.ablation import changed
    from vin_batch.training.fit import TrainingPlan

    plan = TrainingPlan()
    assert changed(plan, "") == plan
    assert changed(plan, "jitter=false") == replace(plan, jitter=False)
    assert changed(plan, "mixup=0.2") == replace(plan, mixup=0.2)
    assert changed(plan, "batch=64") == replace(plan, batch=64)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("jitter=no", "must be true or false"),
        ("batch=0.5", "invalid literal"),
        ("arch=x", "cannot change"),
        ("mixup", "cannot change"),
        ("fonts=false", "cannot change"),
    ],
)
def test_options_that_cannot_be_are_refused(option: str, told: str) -> None:
    from vin_batch.training.ablation import changed
    from vin_batch.training.fit import TrainingPlan

    with pytest.raises(UsageError, match=told):
        changed(TrainingPlan(), option)


def test_variants_to_compare_follow_each_other() -> None:
    from vin_batch.training.ablation import variants

    found = variants(["a", "b"], ["people", "all"], ["mnist", "emnist_digits", "x"], ["o=1"], [7])
    assert len(found) == 2 * 2 * 2 * 2
    assert [one.writers for one in found[:2]] == ["people", "all"]
    assert [one.left_out for one in found[::8]] == ["mnist", "x"]
    assert not found[0].option


# --- training


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from vin_batch.training import typeface_pack

    monkeypatch.setattr(typeface_pack, "HANDS", 1)
    return write_data(tmp_path / "data")


def compared(folder: Path, asked: list[Variant], **changes: object) -> Comparison:
    from vin_batch.training.ablation import Budget, Comparison
    from vin_batch.training.course import load_data
    from vin_batch.training.fit import TrainingPlan

    plan = TrainingPlan(reject_share=0.0, stroke_writers=1, workers=1, mixed_precision=False)
    budget = Budget(plan, images=60, at_most=50, regional_writers=1, rejects=False)
    budget = replace(budget, **changes)  # type: ignore[arg-type]
    return Comparison(load_data(folder, ALPHABET), ALPHABET, budget, asked, None)


def variant(left_out: str = "", writers: str = "people", option: str = "") -> Variant:
    from vin_batch.training.ablation import Variant

    return Variant("six_convolutions", writers, left_out, option, 3)


Trained = list[ImagePool]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Pools that were trained on; the network answers A to everything."""
    from vin_batch.training import ablation

    pools: Trained = []

    def answer_a(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers = np.zeros((len(images), len(ALPHABET)), np.float32)
        answers[:, ALPHABET.index("A")] = 1
        return answers

    def train(
        pool: ImagePool, classes: int, plan: TrainingPlan
    ) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
        pools.append(pool)
        return answer_a

    monkeypatch.setattr(ablation, "train_on_pool", train)
    return pools


def test_a_source_left_out_is_measured_whole_and_not_trained_on(
    folder: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[NDArray[np.int64]] = []
    choose = data_room.choose

    def remember(*arguments: object) -> NDArray[np.int64]:
        chosen.append(choose(*arguments))  # type: ignore[arg-type]
        return chosen[-1]

    monkeypatch.setattr(data_room, "choose", remember)
    asked = [variant("sheets"), variant("sheets", "strokes"), variant()]
    comparison = compared(folder, asked, at_most=10_000)
    results = [comparison.train(one) for one in asked]
    names = np.array(comparison._store.names)[comparison._store.sources]
    assert set(names[chosen[0]]) == {"forms"}
    assert set(names[chosen[1]]) == {"forms", "strokes"}
    assert set(names[chosen[2]]) == {"forms", "sheets"}
    assert list(results[0].scores) == ["sheets", "letter_cards", "regional shapes"]
    assert results[0].scores["sheets"].images == 10 * len(ALPHABET)
    assert results[0].scores["sheets"].correct == 10
    assert results[2].scores["held-out people"].images == 2 * len(ALPHABET)
    assert len(trained) == 3


def test_networks_and_options_get_the_same_pool(folder: Path, trained: Trained) -> None:
    asked = [variant(), variant(option="mixup=0.2"), replace(variant(), arch="other", seed=4)]
    comparison = compared(folder, asked)
    for one in asked:
        comparison.train(one)
    assert trained[0].images.tolist() == trained[1].images.tolist() == trained[2].images.tolist()


def test_rejects_are_trained_on_and_measured(folder: Path, trained: Trained) -> None:
    asked = [variant(), variant(option="reject_share=0.5")]
    comparison = compared(folder, asked, rejects=True)
    plain, exposed = (comparison.train(one) for one in asked)
    assert (trained[0].labels >= 0).all()
    assert 0.3 < (trained[1].labels < 0).mean() < 0.7
    kinds = {answers.kind: answers for answers in exposed.rejects}
    assert {"scribbles", "blots", "crossed out", "blank boxes with dirt"} <= set(kinds)
    expected = np.e / (np.e + len(ALPHABET) - 1)
    assert kinds["scribbles"].mean == pytest.approx(expected, abs=1e-3)
    assert plain.rejects == exposed.rejects


def test_identities_tell_what_decides_a_result(folder: Path) -> None:
    asked = [variant(), variant("sheets")]
    comparison = compared(folder, asked)
    identities = {comparison.identity(one) for one in asked}
    identities.add(comparison.identity(variant(option="mixup=0.2")))
    identities.add(compared(folder, asked, images=61).identity(variant()))
    assert len(identities) == 4
    assert compared(folder, asked).identity(variant()) in identities
    more_workers = replace(compared(folder, asked)._budget.plan, workers=7, stop_after=1)
    assert compared(folder, asked, plan=more_workers).identity(variant()) in identities


def test_a_variant_whose_result_is_known_is_not_trained_again(
    folder: Path, trained: Trained, tmp_path: Path
) -> None:
    from vin_batch.training.ablation import compare

    path = tmp_path / "results.json"
    first = compare(compared(folder, [variant()]), [variant()], Results(path))
    asked = [variant(), variant(option="jitter=false")]
    second = compare(compared(folder, asked), asked, Results(path))
    assert len(trained) == 2
    assert second[0] == first[0]
    assert compare(compared(folder, asked), asked, Results(path)) == second
    assert len(trained) == 2


def test_a_network_learns_a_pool() -> None:
    from vin_batch.training.fit import TrainingPlan, train_on_pool

    images = np.zeros((64, 28, 28), np.uint8)
    images[::2, 4:24, 12:16] = 255
    images[1::2, 12:16, 4:24] = 255
    pool = ImagePool(images, np.arange(64, dtype=np.int16) % 2, issues={})  # type: ignore[arg-type]
    plan = TrainingPlan(
        arch="fully_connected", pools=1, pool_images=64, passes=10, batch=16, ema_decay=0.5,
        mixed_precision=False,
    )  # fmt: skip
    logits = train_on_pool(pool, 2, plan)(images)
    assert logits.dtype == np.float32
    assert (logits.argmax(axis=1) == pool.labels).mean() > 0.9


# --- results


@given(
    st.sets(st.integers(0, 49)), st.sets(st.integers(0, 49))
)  # fmt: skip
@settings(max_examples=50)
def test_a_paired_difference_is_that_of_the_accuracies(one: set[int], other: set[int]) -> None:
    left, right = score(50, *sorted(one)), score(50, *sorted(other))
    gain, spread = paired_difference(left, right)
    back, same_spread = paired_difference(right, left)
    assert gain == pytest.approx((left.correct - right.correct) / 50)
    assert back == pytest.approx(-gain)
    assert spread == pytest.approx(same_spread)
    assert (spread == 0) == (one == other or len(one ^ other) == 50 == 50 * abs(gain))


def test_the_interval_of_a_paired_difference() -> None:
    # 12 gained, 4 lost of 200: 0.04 +- 1.96 * sqrt(16 - 64 / 200) / 200
    reference = score(200, *range(12), 50)
    other = score(200, *range(20, 24), 50)
    gain, spread = paired_difference(other, reference)
    assert gain == pytest.approx(0.04)
    assert spread == pytest.approx(1.959964 * (16 - 0.32) ** 0.5 / 200)


def test_two_commands_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    one, other = Results(path), Results(path)
    one.add(result("a", {"x": score(5, 1)}))
    other.add(result("b", {"x": score(5, 2, 3)}))
    kept = Results(path)
    assert kept.get("a") == result("a", {"x": score(5, 1)})
    assert kept.get("b") == result("b", {"x": score(5, 2, 3)})
    assert kept.get("c") is None


@pytest.mark.parametrize(
    "text",
    ["{", "{}", '{"format": 99, "results": []}', '{"format": 1, "results": [{"scores": 1}]}'],
)
def test_another_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="does not hold results"):
        Results(path)
    assert path.read_text() == text


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    answers = RejectAnswers("blots", 100, 90, 0.5, 7)
    Results(tmp_path / "r.json").add(replace(result("a", {"x": score(5)}), rejects=[answers]))
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["results"][0]["rejects"][0]["sure"] == 7
    kept = Results(tmp_path / "r.json").get("a")
    assert kept is not None
    assert kept.rejects == [answers]


def test_the_table_compares_with_the_first_of_the_same_source() -> None:
    rows = [
        result("a", {"x": score(100, 1, 2, 3, 4), "cards": score(10)}, left_out="x"),
        result("b", {"x": score(100, 1), "cards": score(10, 2)}, left_out="x", writers="all"),
        result("c", {"y": score(50), "cards": score(10)}, left_out="y"),
    ]
    table = comparison_table(rows)
    assert table[0] == [
        "left out", "writers", "measured on", "right % [95 %]", "difference", "cards"
    ]  # fmt: skip
    assert table[1][3] == "96.00 [90.2, 98.4]"
    assert [row[4] for row in table[1:]] == ["-", "+3.00 ± 3.34", "-"]
    assert table[3][2] == "y (50)"
    assert as_text(table).count("\n") == 3
    assert as_markdown(table).splitlines()[1] == "|" + "---|" * 6


def test_only_the_same_images_are_compared() -> None:
    rows = [result("a", {"x": score(9)}), result("b", {"x": score(8)}, writers="all")]
    assert comparison_table(rows)[2][3] == "other images"


def test_sources_left_out_count_the_same_in_the_mean() -> None:
    rows = [
        result("a", {"x": score(100, *range(10))}, left_out="x"),
        result("b", {"x": score(100, *range(6))}, left_out="x", writers="all"),
        result("c", {"y": score(10, 1, 2)}, left_out="y"),
        result("d", {"y": score(10, 1)}, left_out="y", writers="all"),
        result("e", {"z": score(10)}, left_out="z"),
    ]
    spread = np.hypot(
        paired_difference(rows[1].scores["x"], rows[0].scores["x"])[1],
        paired_difference(rows[3].scores["y"], rows[2].scores["y"])[1],
    )
    assert pooled_table(rows) == [
        ["writers", "sources", "mean right %", "difference"],
        ["people", "2", "85.00", "-"],
        ["all", "2", "92.00", f"+7.00 ± {50 * spread:.2f}"],
    ]
    assert pooled_table(rows[:2]) == []
    assert pooled_table([result("f", {"held-out people": score(5)})]) == []


def test_the_table_of_rejects_is_about_those_measured() -> None:
    assert reject_rows([result("a", {"x": score(5)})]) == []
    blots = [RejectAnswers("blots", 100, 90, 0.514, 7), RejectAnswers("dirt", 10, 0, None, 0)]
    row = replace(result("a", {"x": score(5)}, option="mixup=1"), rejects=blots)
    assert reject_rows([row]) == [
        ["no character", "crops", "mixup=1"],
        ["blots", "100", "0.51, 7 % > 0.9"],
        ["dirt", "10", "-, 0 % > 0.9"],
    ]
