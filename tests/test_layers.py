"""The shape of the package: who may import whom, and what nobody may use."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vin_batch
from crash_tools import environment

PACKAGE = Path(vin_batch.__file__).parent
JOBS = PACKAGE.parent / "jobs"
LEVELS = {
    0: ("_version", "errors", "records", "slices", "vin.alphabet"),
    1: ("archive", "preprocess", "vin", "synthesis", "classifier", "second_reader"),
    2: ("", "batch", "config", "corrections", "export", "report"),
    3: ("cluster", "nightly", "training"),
    4: ("commands", "cli", "__main__"),
}
"""Rooms and modules by level; nobody imports from a higher one. The empty name is the
public interface, ``vin_batch/__init__.py``."""
HEAVY = ("tensorflow", "keras", "pandas")
HEAVY_ROOMS = {
    "tensorflow": ("classifier.keras_classifier", "training.export_engine"),
    "keras": (
        "classifier.keras_classifier",
        "training.architectures",
        "training.averaging",
        "training.batches",
        "training.checkpoint",
        "training.context_study",
        "training.earlier_networks",
        "training.ema",
        "training.export_engine",
        "training.fit",
        "training.network",
        "training.residual_networks",
    ),
    "pandas": ("", "batch.frames"),
}
"""The only modules that may import them; the others get records and arrays."""
PICKLES = ("pickle", "cPickle", "cloudpickle", "dill", "shelve", "marshal")
FORKING = ("os.fork", "os.forkpty", "pty.fork")


@dataclass(frozen=True, slots=True)
class Source:
    """One module: its name below the package and its syntax tree."""

    name: str
    tree: ast.Module


def load(path: Path, name: str) -> Source:
    return Source(name, ast.parse(path.read_text(encoding="utf-8"), str(path)))


def modules() -> list[Source]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found.append(load(path, name.removesuffix("__init__").rstrip(".")))
    return found


SOURCES = modules()
SCRIPTS = [load(path, f"jobs/{path.name}") for path in sorted(JOBS.glob("*.py"))]


def imported(source: Source) -> Iterator[tuple[str, int]]:
    """Full names of everything a module imports, lazily or not, and the line."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source.name}:{node.lineno}: relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def level_of(module: str) -> int:
    """Level of a module by the longest name that covers it."""
    parts = module.split(".") if module else [""]
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for level, names in LEVELS.items():
            if prefix in names:
                return level
    raise AssertionError(f"{module} is in no room that the layers know")


def known_module(name: str) -> str:
    """The module that an imported name below the package belongs to."""
    parts = name.split(".")[1:]
    names = {source.name for source in SOURCES}
    while parts and ".".join(parts) not in names:
        parts.pop()
    return ".".join(parts)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name or "vin_batch")
def test_nobody_imports_upward(source: Source) -> None:
    own = level_of(source.name)
    for name, line in imported(source):
        if name.split(".")[0] == "vin_batch":
            target = known_module(name)
            assert level_of(target) <= own, f"{source.name}:{line} imports {target} above it"


def test_rooms_do_not_import_each_other_in_a_circle() -> None:
    needs: dict[str, set[str]] = {}
    for source in SOURCES:
        room = source.name.split(".")[0]
        for name, _ in imported(source):
            target = known_module(name) if name.startswith("vin_batch.") else room
            if target == "vin.alphabet":
                continue
            needs.setdefault(room, set()).add(target.split(".")[0])
    del needs[""]
    while needs:
        free = [room for room, targets in needs.items() if not (targets - {room}) & set(needs)]
        assert free, f"a circle among {sorted(needs)}"
        for room in free:
            del needs[room]


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_stay_in_their_modules(library: str) -> None:
    users = {
        source.name
        for source in SOURCES
        for name, _ in imported(source)
        if name.split(".")[0] == library
    }
    assert users <= set(HEAVY_ROOMS[library])
    assert users, f"nobody imports {library}: the test looks at nothing"


def test_workers_and_light_commands_load_nothing_heavy() -> None:
    """Imports of imports count, too: what a process of each kind loads when it starts."""
    light = ("vin_batch", "vin_batch.cli", "vin_batch.batch.worker", "vin_batch.batch.pack",
             "vin_batch.batch.second_opinion", "vin_batch.second_reader.recogniser",
             "vin_batch.archive", "vin_batch.preprocess", "vin_batch.batch.characters",
             "vin_batch.training.pool", "vin_batch.training.cards", "vin_batch.synthesis.folders",
             "vin_batch.classifier.keras_classifier")  # fmt: skip
    code = "\n".join(
        [
            "import sys, importlib",
            *(f"importlib.import_module({name!r})" for name in light),
            f"print([name for name in {(*HEAVY, 'onnxruntime')!r} if name in sys.modules])",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(), capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def dotted(node: ast.expr) -> str:
    """``a.b.c`` as text; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def calls(source: Source) -> Iterator[tuple[str, ast.Call]]:
    """Calls by the full name of what is called, as far as imports tell it."""
    names = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ImportFrom):
            names.update({a.asname or a.name: f"{node.module}.{a.name}" for a in node.names})
        elif isinstance(node, ast.Import):
            names.update({a.asname: a.name for a in node.names if a.asname})
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            first, _, rest = dotted(node.func).partition(".")
            yield ".".join(filter(None, (names.get(first, first), rest))), node


def constant(call: ast.Call, place: int, keyword: str) -> object:
    """Literal value of an argument, None where there is none."""
    given = {k.arg: k.value for k in call.keywords}.get(keyword)
    if given is None and len(call.args) > place:
        given = call.args[place]
    return given.value if isinstance(given, ast.Constant) else None


def has_keyword(call: ast.Call, name: str) -> bool:
    return any(keyword.arg == name for keyword in call.keywords)


def forks(source: Source) -> Iterator[str]:
    """Uses of fork: named, chosen as a start method, or the default of a pool."""
    for name, line in imported(source):
        if name in FORKING:
            yield f"{line}: {name}"
    for name, call in calls(source):
        last = name.rpartition(".")[2]
        chosen = constant(call, 0, "method")
        if (
            name in FORKING
            or (last in {"get_context", "set_start_method"} and chosen in {None, "fork"})
            or name in {"multiprocessing.Process", "multiprocessing.Pool"}
            # A context that it is given is judged where it is made.
            or (last == "ProcessPoolExecutor" and not has_keyword(call, "mp_context"))
            or (last == "Parallel" and constant(call, 1, "backend") == "multiprocessing")
        ):
            yield f"{call.lineno}: {name}"


def pickles(source: Source) -> Iterator[str]:
    """Uses of pickle in files: the modules, NumPy's flag, joblib's and pandas' shortcuts."""
    for name, line in imported(source):
        if name.split(".")[0] in PICKLES or name in {"joblib.load", "joblib.dump"}:
            yield f"{line}: {name}"
    for name, call in calls(source):
        last = name.rpartition(".")[2]
        is_numpy_load = name in {"np.load", "numpy.load"}
        flag = constant(call, 2 if is_numpy_load else len(call.args), "allow_pickle")
        if (
            flag is True
            or (is_numpy_load and flag is not False)
            or name in {"joblib.load", "joblib.dump"}
            or last in {"read_pickle", "to_pickle"}
            or (last == "load_model" and constant(call, 3, "safe_mode") is False)
        ):
            yield f"{call.lineno}: {name}"


@pytest.mark.parametrize("source", [*SOURCES, *SCRIPTS], ids=lambda source: source.name or "-")
def test_nobody_forks_and_nobody_pickles(source: Source) -> None:
    assert list(forks(source)) == []
    assert list(pickles(source)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.fork()",
        "from os import fork",
        "import multiprocessing\nmultiprocessing.get_context('fork')",
        "import multiprocessing as mp\nmp.Pool(2)",
        "from multiprocessing import Process\nProcess(target=print)",
        "import multiprocessing\nmultiprocessing.set_start_method(method='fork')",
        "from concurrent.futures import ProcessPoolExecutor as P\nP()",
        "from joblib import Parallel\nParallel(n_jobs=2, backend='multiprocessing')",
    ],
)
def test_the_search_for_forks_finds_them(code: str) -> None:
    assert list(forks(Source("x", ast.parse(code))))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x')",
        "import numpy\nnumpy.load('x', None, True)",
        "import joblib\njoblib.dump(1, 'x')",
        "from joblib import load",
        "import pandas as pd\npd.read_pickle('x')",
        "import keras\nkeras.saving.load_model('x', safe_mode=False)",
    ],
)
def test_the_search_for_pickles_finds_them(code: str) -> None:
    assert list(pickles(Source("x", ast.parse(code))))


def test_the_search_for_upward_imports_finds_them() -> None:
    for code in ("from vin_batch.batch import loop", "import vin_batch.commands.run"):
        with pytest.raises(AssertionError, match="above it"):
            test_nobody_imports_upward(Source("preprocess.decode", ast.parse(code)))
    with pytest.raises(AssertionError, match="no room"):
        level_of("attic.box")
