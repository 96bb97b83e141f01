"""Packs: which images are wanted, which are kept back, and what is no pack."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from glyph_packs import drawn_glyphs, write_pack
from vin_batch.errors import ExitCode, UsageError
from vin_batch.training import packs as packs_module
from vin_batch.training.packs import GlyphPack, ink_mask, label_errors, load_pack, load_packs
from vin_batch.vin.alphabet import ALPHABET


def blank(count: int) -> NDArray[np.uint8]:
    """Images that can be told apart by their first pixel."""
    images = np.full((count, 5, 5), 255, np.uint8)
    images[:, 0, 0] = np.arange(count)
    return images


def test_unwanted_classes_and_doubtful_labels_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, X=blank(7), y=list("AIaB1OC"), label_prob=[0.9, 1, 1, 0.49, 0.5, 1, 0.2])
    pack = load_pack(path, ALPHABET)
    assert pack.name == "some"
    assert "".join(pack.labels) == "A1"
    assert list(pack.images[:, 0, 0]) == [0, 4]
    wider = load_pack(path, ALPHABET + "IOa")
    assert "".join(wider.labels) == "AIa1O"


def test_writers_are_kept_back_whole(tmp_path: Path) -> None:
    writers = np.repeat(np.arange(40), 3)
    path = write_pack(tmp_path / "w.npz", "A", X=blank(120), y=["A"] * 120, writer=writers)
    pack = load_pack(path, ALPHABET)
    held = set(writers[pack.held_out].tolist())
    assert held == {0, 10, 20, 30}
    assert pack.held_out.sum() == 12


def test_the_end_of_every_class_is_kept_back_where_writers_are_unknown(tmp_path: Path) -> None:
    labels = np.array(list("A" * 50 + "B" * 30 + "C" * 4))
    shuffled = np.random.default_rng(0).permutation(len(labels))
    for order in (np.arange(len(labels)), shuffled):
        np.savez(tmp_path / "c.npz", X=blank(len(labels))[order], y=labels[order])
        pack = load_pack(tmp_path / "c.npz", ALPHABET)
        for character, held in (("A", 5), ("B", 3), ("C", 0)):
            members = pack.held_out[pack.labels == character]
            assert members.sum() == held
            assert not members[: len(members) - held].any()


def test_a_published_test_part_is_respected(tmp_path: Path) -> None:
    is_test = np.arange(20) % 3 == 1
    path = write_pack(
        tmp_path / "m.npz", "A", X=blank(20), y=["A"] * 20, is_test=is_test, writer=[0] * 20
    )
    pack = load_pack(path, ALPHABET)
    assert np.array_equal(pack.held_out, is_test)


def test_the_split_does_not_depend_on_what_is_filtered(tmp_path: Path) -> None:
    write_pack(tmp_path / "p.npz", copies=20)
    whole = load_pack(tmp_path / "p.npz", ALPHABET)
    digits = load_pack(tmp_path / "p.npz", "0123456789")
    chosen = np.isin(whole.labels, list("0123456789"))
    assert np.array_equal(whole.held_out[chosen], digits.held_out)


def test_parts_are_disjoint_and_complete(tmp_path: Path) -> None:
    write_pack(tmp_path / "p.npz", copies=10)
    pack = load_pack(tmp_path / "p.npz", ALPHABET)
    trained, held = pack.part(held_out=False), pack.part(held_out=True)
    assert len(trained.labels) + len(held.labels) == len(pack.labels)
    assert set(held.labels) == set(ALPHABET)
    assert not {image.tobytes() for image in trained.images} & {
        image.tobytes() for image in held.images
    }


def test_rows_lead_back_to_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", X=blank(40), y=list("AIBO" * 10))
    pack = load_pack(tmp_path / "r.npz", ALPHABET)
    for part in (pack, pack.part(held_out=True), pack.part(held_out=False)):
        assert part.rows.tolist() == part.images[:, 0, 0].tolist()
        assert "".join(part.labels) == "".join("AIBO"[row % 4] for row in part.rows)


def test_images_with_a_wrong_label_can_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs_module, "label_errors", lambda: {"some": (2, 3, 99)})
    for name in ("some", "other"):
        np.savez(tmp_path / f"{name}.npz", X=blank(6), y=list("AIBBAA"))
    some, other = (load_pack(tmp_path / f"{n}.npz", ALPHABET) for n in ("some", "other"))
    assert some.without_label_errors().rows.tolist() == [0, 4, 5]
    assert len(some.labels) == 5, "the pack itself keeps them"
    assert np.array_equal(other.without_label_errors().rows, other.rows)


def test_the_table_of_wrong_labels_is_well_formed() -> None:
    errors = label_errors()
    assert errors
    for rows in errors.values():
        assert len(set(rows)) == len(rows)
        assert min(rows) >= 0


def test_packs_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "C"):
        write_pack(tmp_path / f"{name}.npz", "AB", copies=2)
    assert [pack.name for pack in load_packs(tmp_path, ALPHABET)] == ["C", "a", "b"]
    with pytest.raises(UsageError, match="no glyph packs") as caught:
        load_packs(tmp_path / "nowhere", ALPHABET)
    assert "--data" in caught.value.advice


@pytest.mark.parametrize(
    "kind",
    ["text", "empty", "torn", "array", "no X", "no y", "objects", "colour", "float",
     "short y", "short writer"],
)  # fmt: skip
def test_what_is_no_pack_is_refused_with_words(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.npz"
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "torn":
        write_pack(path)
        path.write_bytes(path.read_bytes()[:20_000])
    elif kind == "array":
        with path.open("wb") as file:
            np.save(file, blank(3))
    else:
        fields: dict[str, object] = {
            "no X": {"X": None},
            "no y": {"y": None},
            "objects": {"y": np.array(["A", 1] * 5, dtype=object)},
            "colour": {"X": np.zeros((10, 5, 5, 3), np.uint8)},
            "float": {"X": np.zeros((10, 5, 5))},
            "short y": {"y": ["A"] * 9},
            "short writer": {"writer": [1] * 9},
        }[kind]  # type: ignore[assignment]
        write_pack(path, "A", **fields)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is not a glyph pack") as caught:
        load_pack(path, ALPHABET)
    assert "X (uint8 [n, h, w])" in caught.value.advice
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = write_pack(tmp_path / "x.npz", "AB")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("X.npy").header_offset
    data[offset + 300] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError, match="is not a glyph pack"):
        load_pack(path, ALPHABET)


def test_a_glyph_is_cut_to_its_ink() -> None:
    images, _ = drawn_glyphs("T", 1, 0)
    mask = ink_mask(images[0])
    assert mask is not None
    assert mask.dtype == np.float32
    assert mask.max() == 1
    assert mask.shape < images[0].shape
    for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
        assert edge.max() > 0.2


def test_specks_and_faint_paper_are_no_glyph() -> None:
    assert ink_mask(np.full((20, 20), 230, np.uint8)) is None
    speck = np.full((20, 20), 255, np.uint8)
    speck[4:6, 7:9] = 0
    assert ink_mask(speck) is None


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_any_image_gives_cover_or_nothing(image: NDArray[np.uint8]) -> None:
    mask = ink_mask(image)
    if mask is not None:
        assert mask.max() == 1
        assert mask.min() >= 0


def test_held_out_images_that_training_holds_too_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packs_module, "_rows_of", lambda table: {"some": (1, 2)})
    count = 4
    some = GlyphPack(
        "some",
        np.zeros((count, 8, 8), np.uint8),
        np.array(list("ABCD")),
        np.array([False, True, False, True]),
        np.arange(count),
    )
    assert some.without_leaks().rows.tolist() == [0, 2, 3], "training keeps its own"
    assert replace(some, name="other").without_leaks().rows.tolist() == [0, 1, 2, 3]


def test_the_table_of_leaks_names_rows_of_digits() -> None:
    leaks = packs_module._rows_of("leaks.csv")
    assert set(leaks) == {"mnist", "emnist_digits"}
    assert all(60_000 <= row < 70_000 for row in leaks["mnist"]), "MNIST's test images alone"
