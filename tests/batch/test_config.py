from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from batch_fakes import make_config, make_model
from vin_batch.classifier.model_card import load_model_card
from vin_batch.config import SETTINGS, RunConfig, load_config, validated
from vin_batch.errors import ExitCode, UsageError

TOML = """
[run]
archive = "cards"
output = "/results"
shard_size = 50
workers = 3
"""


def test_flags_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(TOML)
    config = load_config(file, {"workers": 7, "limit": None, "device": "cpu"})
    assert (config.workers, config.shard_size, config.device) == (7, 50, "cpu")
    assert config.archive == tmp_path / "cards", "relative to the file"
    assert config.output == Path("/results")
    assert config.limit is None


def test_defaults_fit_the_machine() -> None:
    config = load_config(None, {"archive": "a", "output": "b"})
    assert 1 <= config.workers <= len(os.sched_getaffinity(0))
    assert config.shard_size == 1000
    assert config.archive == Path.cwd() / "a"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": "2"}, "workers"),
        ({"workers": True}, "workers"),
        ({"shard_size": -1}, "shard_size"),
        ({"shard_size": 10**9}, "shard_size"),
        ({"limit": 0}, "limit"),
        ({"device": "tpu"}, "device"),
        ({"engine": "dask"}, "engine"),
        ({"ray_address": "10.0.0.1"}, "ray_address"),
        ({"ray_address": "ray://10.0.0.1:10001"}, "ray_address"),
        ({"ray_address": "head:65536"}, "ray_address"),
        ({"slice": "0/4"}, "slice"),
        ({"slice": "5/4"}, "slice"),
        ({"slice": "1"}, "slice"),
        ({"slice": 2}, "slice"),
        ({"second_reader": "both"}, "second_reader"),
        ({"shard_timeout": 0}, "shard_timeout"),
        ({"shard_timeout": float("nan")}, "shard_timeout"),
        ({"card_timeout": -1}, "card_timeout"),
        ({"worker_memory_limit": 100}, "from 512"),
        ({"archive": 5}, "archive"),
        ({"archive": None}, "archive"),
        ({"output": ""}, "output"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_nonsense_is_refused(values: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word) as caught:
        load_config(None, {"archive": "a", "output": "b", **values})
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("text", ["[run", "run = 5", "[run]\ncolour = 'red'", "[run]\nlimit = 'x'"])
def test_nonsense_in_the_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "job.toml"
    file.write_text(text)
    with pytest.raises(UsageError):
        load_config(file, {"archive": "a", "output": "b"})
    with pytest.raises(UsageError, match="cannot read"):
        load_config(tmp_path / "nowhere.toml", {})


def test_results_may_not_lie_in_the_archive(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "archive")
    (tmp_path / "archive").mkdir()
    for output in ("archive", "archive/run", "link/deep/run"):
        with pytest.raises(UsageError, match="inside the archive"):
            make_config(tmp_path, output=tmp_path / output)
    make_config(tmp_path, output=tmp_path / "archive-run")


def test_settings_survive_the_run_directory(tmp_path: Path) -> None:
    config = make_config(tmp_path, limit=3, file_mode="0600", textfile=tmp_path / "v.prom")
    assert validated(config.as_dict()) == config
    older = config.as_dict()
    for name in ("card_timeout", "worker_memory_limit", "ray_address", "slice"):
        del older[name]
    assert validated(older) == config, "runs that began before there were these settings"


def test_fingerprint_has_what_changes_results_and_nothing_else(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    card = load_model_card(config.model)
    before = config.fingerprint(card)
    neutral: dict[str, object] = {
        "archive": Path("/x"),
        "output": Path("/y"),
        "model": Path("/z"),
        "device": "cpu",
        "workers": 9,
        "engine": "other",
        "shard_timeout": 1.0,
        "file_mode": "0600",
        "textfile": Path("/v.prom"),
        "card_timeout": 1.0,
        "worker_memory_limit": 600,
        "ray_address": "local",
        "slice": "1/2",
    }
    relevant: dict[str, object] = {
        "shard_size": 9,
        "limit": 9,
        "second_reader": "review",
        "changes": "card",
        "inference": "litert",
    }
    assert neutral.keys() | relevant.keys() == set(SETTINGS), "a new setting must be sorted in"
    for name, value in (neutral | relevant).items():
        changed: RunConfig = replace(config, **{name: value})  # type: ignore[arg-type]
        assert (changed.fingerprint(card) != before) == (name in relevant)


def test_fingerprint_sees_model_and_policy(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    before = config.fingerprint(load_model_card(config.model))
    policy = {"slope": 1.0, "intercept": 0.0, "accept_confidence": 0.5}
    for other in (
        make_model(tmp_path / "other weights", b"other"),
        make_model(tmp_path / "other policy", policy=policy),
        make_model(tmp_path / "other temperature", temperature=2.0),
    ):
        assert config.fingerprint(load_model_card(other)) != before


@pytest.mark.parametrize("text", ["'0600'", "0o600", "384"])
def test_file_mode_is_octal(tmp_path: Path, text: str) -> None:
    file = tmp_path / "job.toml"
    file.write_text(f"[run]\nfile_mode = {text}")
    config = load_config(file, {"archive": "a", "output": "b"})
    assert (config.file_mode, config.permissions) == ("0600", 0o600)
    assert load_config(None, {"archive": "a", "output": "b"}).permissions == 0o640


@pytest.mark.parametrize("value", ["0644", "0660", "640", "rw-r-----", "", 640, True, 0o777])
def test_readings_are_never_open_to_everybody(value: object) -> None:
    with pytest.raises(UsageError, match="file_mode"):
        load_config(None, {"archive": "a", "output": "b", "file_mode": value})


def test_textfile_must_be_one_that_node_exporter_reads(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="prom"):
        load_config(None, {"archive": "a", "output": "b", "textfile": "/x/metrics.txt"})
    file = tmp_path / "job.toml"
    file.write_text("[run]\ntextfile = 'v.prom'")
    config = load_config(file, {"archive": "a", "output": "b"})
    assert config.textfile == tmp_path / "v.prom"


def test_fingerprint_sees_the_vin_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(tmp_path)
    card = load_model_card(config.model)
    before = config.fingerprint(card)
    monkeypatch.setattr("vin_batch.config.tables_sha256", lambda: "of other tables")
    after = config.fingerprint(card)
    assert {name for name in before if before[name] != after[name]} == {"vin_tables_sha256"}
