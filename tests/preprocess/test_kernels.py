"""The compiled kernels give what the reference gives, to the last bit, and never cost a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from box_crops import ink_of, scan, style, with_frame
from vin_batch.preprocess import engine, frame, machine_code, preprocess_image
from vin_batch.preprocess.engine import Stages
from vin_batch.preprocess.machine_code import MachineCodeError
from vin_batch.preprocess.pipeline import reference_stages
from vin_batch.records import BoxIssue
from vin_batch.synthesis.scan import LEVELS
from vin_batch.vin.alphabet import ALPHABET

Grey = NDArray[np.uint8]
COMPILE_SECONDS = 900
pytestmark = pytest.mark.timeout(COMPILE_SECONDS)

needs_numba = pytest.mark.skipif(
    find_spec("numba") is None, reason="Numba is not installed (pip install 'vin_batch[cpu]')"
)


@pytest.fixture(scope="session")
def machine_code_file() -> Path:
    """Compiled once per machine and version of the kernels; later runs find it."""
    path = machine_code.folder() / machine_code.file_name()
    subprocess.run(
        [sys.executable, "-m", "vin_batch.preprocess.compile_kernels", str(path)],
        check=True, timeout=COMPILE_SECONDS,
    )  # fmt: skip
    return path


@pytest.fixture(scope="session")
def compiled(machine_code_file: Path) -> Stages:
    return engine.load(machine_code_file)


@pytest.fixture
def fresh_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that has chosen nothing yet, and forgets what it chooses."""
    monkeypatch.setattr(engine, "_choice", engine._Choice())
    monkeypatch.delenv(engine.SWITCH, raising=False)


def assert_same(compiled: Stages, grey: Grey) -> None:
    expected, found = reference_stages(grey), compiled(grey)
    if isinstance(expected, BoxIssue) or isinstance(found, BoxIssue):
        assert found is expected
    else:
        assert np.array_equal(found, expected)


SIDES = st.integers(6, 64)
TONES = st.one_of(
    st.integers(0, 255), st.sampled_from((0, 1, 127, 128, 254, 255)), st.sampled_from((20, 230))
)


@st.composite
def working_images(draw: st.DrawFn) -> Grey:
    """Noise, constants, gradients, blocks, strokes with and without lines at the edges."""
    shape = height, width = draw(SIDES), draw(SIDES)
    kind = draw(st.sampled_from(("any", "few", "noise", "blocks", "gradient", "written")))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "any":
        anything: Grey = draw(arrays(np.uint8, shape))
        return anything
    if kind == "few":
        few: Grey = draw(arrays(np.uint8, shape, elements=TONES))
        return few
    if kind == "noise":
        low, high = sorted((draw(TONES), draw(TONES)))
        return rng.integers(low, high + 1, shape, dtype=np.uint8)
    if kind == "blocks":
        coarse = rng.integers(0, 256, (draw(SIDES) // 4, draw(SIDES) // 4), dtype=np.uint8)
        resized = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
        return np.asarray(resized, np.uint8)
    slope = np.add.outer(np.linspace(0, draw(TONES), height), np.linspace(draw(TONES), 0, width))
    image = np.clip(slope, 0, 255)
    if kind == "written":
        for _ in range(draw(st.integers(1, 4))):
            ends = rng.integers(0, (width, height), (2, 2)).tolist()
            cv2.line(image, ends[0], ends[1], (float(draw(TONES)),), draw(st.integers(1, 6)))
        for side in range(4):
            if draw(st.booleans()):
                depth = draw(st.integers(0, 5))
                np.rot90(image, side)[depth : depth + draw(st.integers(1, 3))] = draw(TONES)
        image += rng.normal(0, draw(st.sampled_from((0.0, 2.0, 8.0))), shape)
    written: Grey = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return written


@needs_numba
@settings(max_examples=1500)
@given(grey=working_images())
@example(grey=np.tile(np.array([0, 255], np.uint8), (64, 32)))
@example(grey=np.tile(np.eye(2, dtype=np.uint8) * 255, (32, 32)))
@example(grey=np.zeros((6, 6), np.uint8))
@example(grey=np.full((64, 6), 255, np.uint8))
def test_any_working_image_gives_the_same(compiled: Stages, grey: Grey) -> None:
    assert_same(compiled, grey)


@needs_numba
@pytest.mark.parametrize("level", LEVELS)
def test_boxes_give_the_same(compiled: Stages, level: str) -> None:
    for seed, character in enumerate(ALPHABET):
        for share in (0.0, 1.0):
            crop = scan(ink_of(character), style(level, seed, line_share=share))  # type: ignore[arg-type]
            assert_same(compiled, crop)
            assert_same(compiled, np.subtract(255, crop, dtype=np.uint8))
            assert_same(compiled, crop[3:60:2, ::-1])
            framed = with_frame(crop, depth=2 + seed % 5)
            assert_same(compiled, framed)
            assert_same(compiled, np.subtract(255, framed, dtype=np.uint8))


@needs_numba
def test_two_parts_of_one_mass_are_told_apart_alike(compiled: Stages) -> None:
    """Which one is the main part decides what is near to it; OpenCV goes by 2x2 blocks."""
    for down in range(5):
        for gap in (14, 17, 18):
            image = np.full((64, 60), 230, np.uint8)
            image[10:40, 8:12] = 40
            image[10 + down : 40 + down, 12 + gap : 16 + gap] = 40
            image[20:23, 52:55] = 40
            assert_same(compiled, image)
            assert_same(compiled, np.ascontiguousarray(image[:, ::-1]))


@needs_numba
def test_images_that_may_not_be_written_or_lie_apart_are_read(compiled: Stages) -> None:
    crop = scan(ink_of("R"), style("scan", 3, line_share=1.0))
    wide = np.full((crop.shape[0], 2 * crop.shape[1]), 7, np.uint8)
    wide[:, ::2] = crop
    fixed = crop.copy()
    fixed.setflags(write=False)
    for image in (wide[:, ::2], fixed, np.asfortranarray(crop)):
        assert_same(compiled, image)


@needs_numba
@pytest.mark.parametrize("shape", [(5, 40), (40, 5), (65, 40), (40, 65), (0, 40)])
def test_other_sizes_never_reach_the_kernels(compiled: Stages, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="working image"):
        compiled(np.zeros(shape, np.uint8))


@needs_numba
def test_results_are_not_overwritten_by_the_next(compiled: Stages) -> None:
    first = compiled(scan(ink_of("R"), style("scan", 3)))
    assert not isinstance(first, BoxIssue)
    kept = first.copy()
    compiled(scan(ink_of("7"), style("scan", 3)))
    assert np.array_equal(first, kept)


@pytest.mark.parametrize("peak", range(1, 256))
def test_tones_are_scaled_as_opencv_scales_them(peak: int) -> None:
    levels = np.arange(256, dtype=np.uint8)
    scaled = np.rint(levels.astype(np.float32) * np.float32(255.0 / peak))
    expected = cv2.convertScaleAbs(levels[None], alpha=255.0 / peak)
    assert np.array_equal(np.minimum(scaled, 255).astype(np.uint8), np.ravel(expected))


def test_path_words_are_the_paths_of_the_reference() -> None:
    words = frame.path_words(64)
    for width in range(6, 65):
        for number, offsets in enumerate(frame.path_offsets(width)):
            row_of = {
                column: offset - frame.PATH_REACH
                for offset, word in enumerate(words[width, number].tolist())
                for column in range(64)
                if word >> column & 1
            }
            assert [row_of[column] for column in range(width)] == offsets.tolist()
            assert len(row_of) == width


@needs_numba
@pytest.mark.usefixtures("fresh_engine")
def test_warm_up_takes_the_kernels_and_off_does_not(
    machine_code_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert machine_code_file.exists()
    monkeypatch.setenv(engine.SWITCH, "off")
    assert not engine.warm_up()
    assert engine.compiled_stages() is None
    monkeypatch.delenv(engine.SWITCH)
    assert engine.warm_up()
    assert engine.compiled_stages() is not None
    crop = scan(ink_of("R"), style("scan", 3, line_share=1.0))
    image, issue = preprocess_image(crop)
    assert issue is BoxIssue.NONE
    assert np.array_equal(image, reference_stages(crop))


@needs_numba
@pytest.mark.usefixtures("fresh_engine")
def test_kernels_are_taken_up_when_the_compiler_is_done(
    machine_code_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = tmp_path / machine_code_file.name
    started: list[Path] = []
    monkeypatch.setattr(machine_code, "folder", lambda: tmp_path)
    monkeypatch.setattr(engine, "_start_compiler", started.append)
    assert not engine.warm_up()
    assert started == [later]
    crop = scan(ink_of("R"), style("scan", 3))
    assert engine.compiled_stages() is None
    later.write_bytes(machine_code_file.read_bytes())
    later.chmod(0o600)
    for _ in range(engine.LOOK_EVERY):
        stages = engine.compiled_stages()
    assert stages is not None
    assert np.array_equal(stages(crop), reference_stages(crop))


@needs_numba
@pytest.mark.usefixtures("fresh_engine")
@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "no head", "open to others"])
def test_damaged_machine_code_is_not_run(
    damage: str, machine_code_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = machine_code_file.read_bytes()
    middle = len(whole) // 2
    damaged = {
        "torn": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "empty": b"",
        "no head": b"[]\n" + whole,
        "open to others": whole,
    }[damage]
    path = tmp_path / machine_code_file.name
    path.write_bytes(damaged)
    path.chmod(0o666 if damage == "open to others" else 0o600)
    with pytest.raises(MachineCodeError):
        engine.load(path)
    path.write_bytes(damaged)
    path.chmod(0o666 if damage == "open to others" else 0o600)
    monkeypatch.setattr(machine_code, "folder", lambda: tmp_path)
    assert not engine.warm_up()
    assert engine.compiled_stages() is None
    assert not path.exists(), "the next process makes it again"


@needs_numba
@pytest.mark.usefixtures("fresh_engine")
def test_kernels_that_cannot_be_compiled_are_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / machine_code.file_name()
    monkeypatch.setattr(machine_code, "target", lambda: 1 / 0)
    monkeypatch.setattr(os, "nice", lambda _: 0)
    for _ in range(engine.MAX_TRIES):
        with pytest.raises(ZeroDivisionError):
            engine.compile_once(path)
    engine.compile_once(path)
    assert not path.exists()
    monkeypatch.setattr(machine_code, "folder", lambda: tmp_path)
    monkeypatch.setattr(engine, "_start_compiler", lambda _: pytest.fail("compiles again"))
    assert not engine.warm_up()
    assert engine.compiled_stages() is None


@needs_numba
def test_machine_code_that_gives_other_values_is_not_used(
    machine_code_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kernels.o"
    path.write_bytes(machine_code_file.read_bytes())
    path.chmod(0o600)
    monkeypatch.setattr("vin_batch.preprocess.pipeline.reference_stages", lambda _: BoxIssue.BLANK)
    with pytest.raises(MachineCodeError, match="other values"):
        engine.load(path)


@pytest.mark.usefixtures("fresh_engine")
@pytest.mark.parametrize("missing", ["numba", "llvmlite"])
def test_without_numba_the_reference_works(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        engine, "find_spec", lambda name: None if name == missing else find_spec(name)
    )
    assert not engine.warm_up()
    assert preprocess_image(np.full((48, 48), 200, np.uint8))[1] is BoxIssue.BLANK


@pytest.mark.usefixtures("fresh_engine")
def test_without_a_private_folder_the_reference_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    for variable in (*machine_code.CACHE_VARIABLES, "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, str(blocked))
    monkeypatch.setattr("tempfile.tempdir", str(blocked))
    with pytest.raises(MachineCodeError, match="private folder"):
        machine_code.folder()
    assert not engine.warm_up()


def test_a_folder_that_others_may_write_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, own = tmp_path / "shared", tmp_path / "own"
    (shared / "kernels").mkdir(parents=True)
    (shared / "kernels").chmod(0o777)
    for variable in machine_code.CACHE_VARIABLES:
        monkeypatch.setenv(variable, str(shared))
    monkeypatch.setenv("XDG_CACHE_HOME", str(own))
    assert machine_code.folder() == own / "vin_batch" / "kernels"
    assert machine_code.folder().stat().st_mode & 0o077 == 0


@needs_numba
def test_machine_code_is_named_after_what_it_is_made_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = machine_code.file_name()
    machine_code.file_name.cache_clear()
    with monkeypatch.context() as context:
        context.setattr(machine_code, "version", lambda _: "0")
        assert machine_code.file_name() != name
    machine_code.file_name.cache_clear()
    assert machine_code.file_name() == name


@needs_numba
def test_a_process_loads_the_kernels_without_numba(machine_code_file: Path) -> None:
    code = (
        "import json, sys; from vin_batch.preprocess import engine; ready = engine.warm_up();"
        "print(json.dumps([ready, 'numba' in sys.modules, 'tensorflow' in sys.modules]))"
    )
    assert machine_code_file.exists()
    environment = {key: value for key, value in os.environ.items() if key != engine.SWITCH}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60,
        env=environment,
    )  # fmt: skip
    assert json.loads(done.stdout) == [True, False, False]
