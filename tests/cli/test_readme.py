"""The README promises only commands and flags that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vin_batch.cli import build_parser
from vin_batch.vin.reasons import Reason

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "jobs/run.toml",
    "jobs/train_default.sh",
    "sample_cards/README.md",
)
PRINTED = "printed and ended, like --help"


def documented_commands() -> list[str]:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    pattern = re.compile(r"^[# \t]*(vin-batch [^#`\n]+)", re.MULTILINE)
    printed = re.compile(r"^```text\n.*?^```", re.MULTILINE | re.DOTALL)
    return [line.strip() for text in texts for line in pattern.findall(printed.sub("", text))]


@pytest.mark.parametrize("line", documented_commands())
def test_documented_command_parses(line: str) -> None:
    words = shlex.split(line)[1:]
    assert parsed_command(words) in {words[0], PRINTED}


def parsed_command(words: list[str]) -> str:
    try:
        return str(build_parser().parse_args(words).command)
    except SystemExit as end:
        return PRINTED if not end.code else f"exit code {end.code}"


def test_there_are_documented_commands() -> None:
    assert len(documented_commands()) > 10


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named <= targets


def test_readme_names_every_reason() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"`{reason.value}`" in readme for reason in Reason)
