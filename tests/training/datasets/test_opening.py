"""The front door: every public format gives upright, dark, rightly labelled glyphs."""

from __future__ import annotations

import gzip
import string
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glyph_packs import write_pack
from public_sources import (
    stored_by_columns,
    upright,
    write_idx,
    write_idx_source,
    write_image,
    write_table,
)
from vin_batch.errors import UsageError
from vin_batch.training.datasets import Source, open_dataset
from vin_batch.training.datasets.opening import Format, sniff

COUNT = 60


def assert_upright(source: Source, light: NDArray[np.uint8]) -> None:
    """The glyphs came out as they were written, ink dark."""
    assert np.array_equal(source.pack.images, 255 - light)


def only(sources: list[Source]) -> Source:
    assert len(sources) == 1
    return sources[0]


@pytest.mark.parametrize("end", ["", ".gz"])
def test_mnist_idx(tmp_path: Path, end: str) -> None:
    glyphs = upright(COUNT)
    labels = [row % 10 for row in range(COUNT)]
    write_idx_source(
        tmp_path, "", {"train": (glyphs[:40], labels[:40]), "t10k": (glyphs[40:], labels[40:])}, end
    )
    source = only(open_dataset(tmp_path))
    assert source.pack.name == "mnist"
    assert_upright(source, glyphs)
    assert "".join(source.pack.labels) == "".join(map(str, labels))
    assert source.pack.held_out.tolist() == [False] * 40 + [True] * 20


@pytest.mark.parametrize("content_tells", [True, False])
def test_emnist_letters_idx_is_turned(tmp_path: Path, content_tells: bool) -> None:
    count = COUNT if content_tells else 8
    glyphs = upright(count)
    labels = [1 + row % 26 for row in range(count)]
    write_idx_source(
        tmp_path, "emnist-letters-", {"train": (stored_by_columns(glyphs), labels)}, ".gz"
    )
    source = only(open_dataset(tmp_path))
    assert source.pack.name == "emnist-letters"
    assert_upright(source, glyphs)
    assert "".join(source.pack.labels[:8]) == "ABCDEFGH"
    assert source.maybe_lowercase is not None
    assert source.maybe_lowercase.all()


def test_emnist_balanced_uses_its_mapping(tmp_path: Path) -> None:
    glyphs = upright(COUNT)
    known = string.digits + string.ascii_uppercase + "abdefghnqrt"
    labels = [row % 47 for row in range(COUNT)]
    parts = {"train": (stored_by_columns(glyphs), labels)}
    write_idx_source(tmp_path, "emnist-balanced-", parts)
    # Another order than EMNIST's own shows that the file is read.
    text = "".join(f"{number} {ord(known[46 - number])}\n" for number in range(47))
    (tmp_path / "emnist-balanced-mapping.txt").write_text(text)
    source = only(open_dataset(tmp_path))
    assert "".join(source.pack.labels[:47]) == known[::-1]
    assert source.maybe_lowercase is not None
    flagged = set(source.pack.labels[source.maybe_lowercase])
    assert flagged == set("CIJKLMOPSUVWXYZ")


def test_emnist_byclass_without_mapping(tmp_path: Path) -> None:
    glyphs = upright(62)
    write_idx_source(
        tmp_path, "emnist-byclass-", {"test": (stored_by_columns(glyphs), list(range(62)))}
    )
    source = only(open_dataset(tmp_path))
    wanted = string.digits + string.ascii_uppercase + string.ascii_lowercase
    assert "".join(source.pack.labels) == wanted
    assert source.pack.held_out.all(), "a published test part alone is never trained on"
    assert source.maybe_lowercase is None


def test_one_images_file_brings_its_labels_alone(tmp_path: Path) -> None:
    glyphs = upright(20)
    labels = [1] * 20
    parts = {"train": (glyphs, labels), "t10k": (glyphs[:5], labels[:5])}
    write_idx_source(tmp_path, "", parts)
    source = only(open_dataset(tmp_path / "train-images-idx3-ubyte"))
    assert len(source.pack.labels) == 20


def write_matlab(
    path: Path, glyphs: NDArray[np.uint8], labels: list[int], writers: list[int] | None, cut: int
) -> Path:
    scipy_io = pytest.importorskip("scipy.io", reason="SciPy, which writes .mat, is optional")
    columns = stored_by_columns(glyphs).reshape(len(glyphs), -1)
    dataset: dict[str, object] = {
        "mapping": np.array([[n, ord("A") + n] for n in range(26)], np.uint8)
    }
    for name, part in (("train", slice(None, cut)), ("test", slice(cut, None))):
        fields: dict[str, object] = {
            "images": columns[part],
            "labels": np.array(labels, np.uint8)[part, None],
        }
        if writers is not None:
            fields["writers"] = np.array(writers, np.uint16)[part, None]
        dataset[name] = fields
    scipy_io.savemat(path, {"dataset": dataset}, do_compression=True)
    return path


def test_matlab_is_turned_and_split_by_writer(tmp_path: Path) -> None:
    glyphs = upright(COUNT)
    writers = [row % 20 for row in range(COUNT)]
    labels = [row % 26 for row in range(COUNT)]
    path = write_matlab(tmp_path / "emnist-x.mat", glyphs, labels, writers, cut=50)
    source = only(open_dataset(path))
    assert_upright(source, glyphs)
    assert "".join(source.pack.labels[:26]) == string.ascii_uppercase
    assert source.pack.writers is not None
    assert source.pack.writers.tolist() == writers
    held = set(source.pack.writers[source.pack.held_out].tolist())
    assert held == {0, 10}, "the published parts share writers, so writers decide"
    assert not held & set(source.pack.writers[~source.pack.held_out].tolist())


def test_matlab_with_disjoint_writers_keeps_its_published_split(tmp_path: Path) -> None:
    writers = [*range(50), *range(100, 110)]
    path = write_matlab(tmp_path / "e.mat", upright(COUNT), [0] * COUNT, writers, cut=50)
    assert only(open_dataset(path)).pack.held_out.tolist() == [False] * 50 + [True] * 10


def test_matlab_without_writers(tmp_path: Path) -> None:
    path = write_matlab(tmp_path / "e.mat", upright(COUNT), [0] * COUNT, None, cut=50)
    source = only(open_dataset(path))
    assert source.pack.writers is None
    assert source.pack.held_out.sum() == 10


def test_torn_matlab(tmp_path: Path) -> None:
    path = write_matlab(tmp_path / "e.mat", upright(COUNT), [0] * COUNT, None, cut=50)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UsageError, match="is not EMNIST in MATLAB's format"):
        open_dataset(path)


def test_matlab_without_scipy_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "emnist-letters.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(128))
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(UsageError, match="SciPy is not installed") as caught:
        open_dataset(path)
    assert "vin_batch[train]" in caught.value.advice


@pytest.mark.parametrize("compressed", [False, True])
def test_kaggle_emnist_table(tmp_path: Path, compressed: bool) -> None:
    glyphs = upright(COUNT)
    labels = [1 + row % 26 for row in range(COUNT)]
    turned = stored_by_columns(glyphs)
    write_table(tmp_path / "emnist-letters-train.csv", turned[:50], labels[:50])
    path = write_table(tmp_path / "emnist-letters-test.csv", turned[50:], labels[50:])
    if compressed:
        (tmp_path / "emnist-letters-test.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    source = only(open_dataset(tmp_path))
    assert_upright(source, glyphs)
    assert "".join(source.pack.labels[:26]) == string.ascii_uppercase
    assert source.pack.held_out.tolist() == [False] * 50 + [True] * 10


def test_a_z_table(tmp_path: Path) -> None:
    glyphs = upright(COUNT)
    path = write_table(
        tmp_path / "A_Z Handwritten Data.csv", glyphs, [row % 26 for row in range(COUNT)]
    )
    source = only(open_dataset(path))
    assert source.kind.startswith("A-Z Handwritten Alphabets")
    assert_upright(source, glyphs)
    assert "".join(source.pack.labels[:26]) == string.ascii_uppercase
    assert source.maybe_lowercase is None


def test_a_table_with_headings_and_windows_line_ends(tmp_path: Path) -> None:
    glyphs = upright(12)
    path = write_table(tmp_path / "mnist_train.csv", glyphs, [7] * 12, headings=True)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    source = only(open_dataset(path))
    assert_upright(source, glyphs)
    assert set(source.pack.labels) == {"7"}


def test_the_content_overrules_the_name_where_a_copy_was_turned(tmp_path: Path) -> None:
    glyphs = upright(COUNT)
    path = write_table(tmp_path / "emnist-digits-train.csv", glyphs, [1] * COUNT)
    source = only(open_dataset(path))
    assert_upright(source, glyphs)
    assert any("upright" in note for note in source.notes)
    forced = only(open_dataset(path, "emnist"))
    assert_upright(forced, stored_by_columns(glyphs))


def test_keras_mnist(tmp_path: Path) -> None:
    glyphs = upright(30)
    labels = np.arange(30) % 10
    np.savez(
        tmp_path / "mnist.npz", x_train=glyphs[:20], y_train=labels[:20],
        x_test=glyphs[20:], y_test=labels[20:],
    )  # fmt: skip
    source = only(open_dataset(tmp_path / "mnist.npz"))
    assert_upright(source, glyphs)
    assert "".join(source.pack.labels) == "0123456789" * 3
    assert source.pack.held_out.sum() == 10
    np.savez(tmp_path / "mnist.npz", x_train=glyphs, y_train=labels + 5, x_test=glyphs, y_test=[])
    with pytest.raises(UsageError, match="not MNIST in the layout of Keras"):
        open_dataset(tmp_path / "mnist.npz")


def test_packs_keep_their_flags(tmp_path: Path) -> None:
    images = 255 - upright(6)
    np.savez(
        tmp_path / "some.npz", X=images, y=list("ACkä1C"), label_prob=[1, 1, 1, 1, 0.2, 1],
        maybe_lowercase=[False, True, False, False, False, False], writer=[10, 1, 2, 3, 4, 5],
    )  # fmt: skip
    source = only(open_dataset(tmp_path))
    assert "".join(source.pack.labels) == "ACkC"
    assert source.doubtful == 1
    assert source.maybe_lowercase is not None
    assert source.maybe_lowercase.tolist() == [False, True, False, False]
    assert source.pack.held_out.tolist() == [True, False, False, False]
    assert np.array_equal(source.pack.images, images[[0, 1, 2, 5]])


def test_a_pack_of_light_ink_is_inverted(tmp_path: Path) -> None:
    light = upright(6)
    write_pack(tmp_path / "p.npz", "A", X=light, y=["A"] * 6)
    source = only(open_dataset(tmp_path / "p.npz"))
    assert_upright(source, light)
    assert any("inverted" in note for note in source.notes)


def test_a_folder_may_hold_several_sources(tmp_path: Path) -> None:
    write_pack(tmp_path / "z.npz", "AB", copies=2)
    write_idx_source(tmp_path, "emnist-digits-", {"train": (upright(5), [1] * 5)})
    (tmp_path / "README.txt").write_text("hello")
    assert [source.pack.name for source in open_dataset(tmp_path)] == ["emnist-digits", "z"]
    assert [source.pack.name for source in open_dataset(tmp_path, "pack")] == ["z"]


def test_formats_are_told_by_content(tmp_path: Path) -> None:
    glyphs = upright(3)
    assert sniff(write_idx(tmp_path / "a.csv", glyphs)) is Format.IDX_IMAGES
    assert sniff(write_idx(tmp_path / "b.gz", np.zeros(3, np.uint8))) is Format.IDX_LABELS
    assert sniff(write_table(tmp_path / "c.npz", glyphs, [1, 2, 3])) is Format.TABLE
    (tmp_path / "d.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform")
    assert sniff(tmp_path / "d.mat") is Format.MATLAB_73
    (tmp_path / "e").write_bytes(b"")
    assert sniff(tmp_path / "e") is Format.OTHER


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("damage", ["short", "long", "header"])
def test_torn_idx(tmp_path: Path, end: str, damage: str) -> None:
    write_idx_source(tmp_path, "", {"train": (upright(9), [1] * 9)}, end)
    path = tmp_path / f"train-images-idx3-ubyte{end}"
    raw = gzip.decompress(path.read_bytes()) if end else path.read_bytes()
    raw = {"short": raw[:-50], "long": raw + b"x", "header": raw[:10]}[damage]
    path.write_bytes(gzip.compress(raw) if end else raw)
    with pytest.raises(UsageError, match="is not a whole idx file") as caught:
        open_dataset(tmp_path)
    assert "Download it again" in caught.value.advice


def test_torn_gzip(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 28, 28)).astype(np.uint8)
    write_idx_source(tmp_path, "", {"train": (noise, [1] * 50)}, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-2_000])
    with pytest.raises(UsageError, match="is not a whole idx file"):
        open_dataset(tmp_path)


def test_idx_parts_that_do_not_fit(tmp_path: Path) -> None:
    write_idx_source(tmp_path, "", {"train": (upright(9), [1] * 8)})
    with pytest.raises(UsageError, match="has 9 images"):
        open_dataset(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UsageError, match=r"labels of .* not beside it"):
        open_dataset(tmp_path)


def test_labels_that_the_source_does_not_know(tmp_path: Path) -> None:
    write_idx_source(tmp_path, "emnist-letters-", {"train": (upright(9), [0] * 9)})
    with pytest.raises(UsageError, match=r"does not know: \[0\]") as caught:
        open_dataset(tmp_path)
    assert "--kind" in caught.value.advice
    (tmp_path / "emnist-letters-mapping.txt").write_text("A 65\n")
    with pytest.raises(UsageError, match="is not a mapping"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("damage", ["torn", "value", "text", "columns"])
def test_damaged_tables(tmp_path: Path, damage: str) -> None:
    path = write_table(tmp_path / "az.csv", upright(5), [1, 2, 3, 4, 5])
    text = path.read_text()
    lines = text.splitlines()
    damaged = {
        "torn": text[:-400],
        "value": text + lines[0].replace("1,", "1,999,", 1).rsplit(",", 1)[0] + "\n",
        "text": text.replace("\n4,", "\nD,"),
        "columns": text + "1,2,3\n",
    }[damage]
    path.write_text(damaged)
    with pytest.raises(UsageError, match="is not a table of a label and 784") as caught:
        open_dataset(path)
    assert "785 whole numbers" in caught.value.advice


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.txt", b"hello", "no data set that is known"),
        ("x.npz", b"PK\x03\x04torn", "is not a glyph pack"),
        ("x.mat", b"MATLAB 7.3 MAT-file", "MATLAB 7.3"),
        ("labels", bytes([0, 0, 8, 1, 0, 0, 0, 0]), "holds labels alone"),
    ],
)
def test_files_that_are_no_source(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match=words) as caught:
        open_dataset(tmp_path / name)
    assert caught.value.advice


def test_paths_that_are_no_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no data set in"):
        open_dataset(tmp_path)
    image = write_image(tmp_path / "A.png", upright(1)[0])
    with pytest.raises(UsageError, match="known") as caught:
        open_dataset(image)
    assert "class folders" in caught.value.advice
    with pytest.raises(UsageError, match="unknown kind"):
        open_dataset(tmp_path, "mat")  # type: ignore[arg-type]
