"""A model that is swapped under a run: never a reading by one model under another's name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from batch_fakes import FakeClassifier, fake_tools, make_config, make_model, open_fake
from crash_inline import inline, inline_config, make_base, results, run_inline
from vin_batch.batch.job import run_job
from vin_batch.classifier.model_card import ModelCard
from vin_batch.errors import ExitCode, ModelError

OTHER = b"other weights"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = make_base(tmp_path)
    shutil.copytree(base / "model", base / "kept")
    return base


def put_back(base: Path) -> None:
    shutil.copytree(base / "kept", base / "model", dirs_exist_ok=True)


def finish(base: Path, output: Path) -> None:
    """The same command, with the first model in its place."""
    put_back(base)
    assert run_inline(inline_config(base, output)) == ExitCode.DONE
    assert results(output) == results(base / "undisturbed")


def test_weights_swapped_before_the_start(base: Path) -> None:
    (base / "model" / "weights.bin").write_bytes(OTHER)
    output = base / "run"
    assert run_inline(inline_config(base, output)) == ExitCode.MODEL
    finish(base, output)


@pytest.mark.parametrize("whole", [True, False])
def test_swapped_between_check_and_load(base: Path, whole: bool) -> None:
    """A whole other model passes its own check; it is still not the one that was checked."""

    def swap(card: ModelCard, device: str) -> FakeClassifier:
        if whole:
            make_model(base / "model", OTHER)
        else:
            card.weights.write_bytes(OTHER)
        return open_fake(card, device)

    output = base / "run"
    config = make_config(base, output=output, workers=1, shard_size=2)
    with inline(), pytest.raises(ModelError, match="swapped"):
        run_job(config, fake_tools(open_classifier=swap))
    assert not results(output), "a reading was published by an unknown model"
    finish(base, output)


def test_swapped_in_the_middle(base: Path) -> None:
    """What was loaded goes on; the next session refuses the other model."""

    class Swapping(FakeClassifier):
        def log_probs(self, pixels):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            make_model(base / "model", OTHER)
            return super().log_probs(pixels)

    output = base / "run"
    tools = fake_tools(open_classifier=lambda card, device: Swapping(card))
    config = make_config(base, output=output, workers=1, shard_size=2)
    with inline():
        assert run_job(config, tools).exit_code == ExitCode.DONE
    put_back(base)
    assert run_inline(inline_config(base, output)) == ExitCode.DONE
    wanted = results(base / "undisturbed")
    assert {n: d for n, d in results(output).items() if n in wanted and n != "readings.csv"} == {
        n: d for n, d in wanted.items() if n != "readings.csv"
    }


@pytest.mark.parametrize(("whole", "code"), [(True, ExitCode.CHANGED_UNDER_RUN), (False, 5)])
def test_swapped_before_resuming(base: Path, whole: bool, code: int) -> None:
    output = base / "run"
    shutil.copytree(base / "undisturbed", output)
    (output / "receipts" / "part-00001.json").unlink()
    if whole:
        make_model(base / "model", OTHER)
    else:
        (base / "model" / "weights.bin").write_bytes(OTHER)
    assert run_inline(inline_config(base, output)) == code
    finish(base, output)
