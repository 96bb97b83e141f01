"""The record of a model's making names the commit that made it, or says that it cannot."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from vin_batch import __version__
from vin_batch.training.provenance import CHANGED, provenance, source_revision


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that is committed in a work tree of its own."""
    inner = tmp_path / "project" / "package"
    inner.mkdir(parents=True)
    (inner / "__init__.py").write_text("")
    git(tmp_path / "project", "init", "-q")
    git(tmp_path / "project", "add", "package/__init__.py")
    git(tmp_path / "project", "commit", "-q", "-m", "Begin")
    return inner


def test_the_commit_of_the_source_is_found(package: Path) -> None:
    head = git(package, "rev-parse", "HEAD")
    assert source_revision(package) == head
    (package.parent / "notes.txt").write_text("elsewhere in the project")
    assert source_revision(package) == head, "only the package's own files count"


@pytest.mark.parametrize("name", ["__init__.py", "new_module.py"])
def test_changed_and_new_files_are_told(package: Path, name: str) -> None:
    (package / name).write_text("x = 1\n")
    assert source_revision(package) == git(package, "rev-parse", "HEAD") + CHANGED


def test_another_projects_commit_is_not_taken(package: Path) -> None:
    installed = package.parent / "venv" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert source_revision(installed) is None


def test_no_work_tree_no_commit_no_git(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_revision(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "__init__.py").write_text("")
    git(tmp_path, "add", "__init__.py")
    assert source_revision(tmp_path) is None, "nothing is committed yet"
    monkeypatch.setenv("PATH", "")
    assert source_revision(package) is None


def test_provenance_says_how_to_do_it_again() -> None:
    found = provenance(["train", "--data", "a folder"])
    assert found["command"] == "vin-batch train --data 'a folder'"
    assert found["version"] == __version__
    date = datetime.fromisoformat(str(found["date"]))
    assert date.utcoffset() == timedelta(0)
    assert set(found) == {"command", "version", "revision", "date"}


def test_the_running_command_is_taken_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/vin-batch", "calibrate", "-o", "x"])
    assert provenance()["command"] == "vin-batch calibrate -o x"
