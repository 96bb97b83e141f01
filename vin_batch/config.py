"""Settings of a run: from a TOML file, then from flags, checked once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vin_batch._version import __version__
from vin_batch.archive.url import ArchiveUrl
from vin_batch.classifier.model_card import ModelCard, default_model_directory
from vin_batch.errors import UsageError
from vin_batch.slices import parse_slice
from vin_batch.vin.tables import tables_sha256

if TYPE_CHECKING:
    from vin_batch.second_reader.parameters import Parameters

DEVICES: Final = ("auto", "cpu", "gpu")
ENGINES: Final = ("local", "ray")
INFERENCES: Final = ("auto", "tensorflow", "litert")
SECOND_READERS: Final = ("off", "review", "all")
CHANGES: Final = ("stop", "card")
FILE_MODES: Final = ("0640", "0600")
"""Permissions of what a run writes: readings are personal data, so nobody else may read."""
DEFAULT_SHARD_SIZE: Final = 1000
"""Cards; 13 MB of pixels, and about a second of work lost when a shard is interrupted."""

DEFAULT_SHARD_TIMEOUT: Final = 1800.0
"""Seconds that a worker may take for a shard: 17,000 files at 10 ms each on a slow network
disk take 170 s, and ten times that is surely stuck."""

DEFAULT_CARD_TIMEOUT: Final = 120.0
"""Seconds from one card to the next: a thousand times what a card takes, and enough for 64
cards, as many as the second reader reads at once, on a core that has ten other things to do."""

SMALLEST_MEMORY_LIMIT: Final = 512
"""MiB. The largest crop that is decoded at all, 4 million pixels of 16-bit colour with
alpha, was measured to take 440 on the way, and the second reader 110."""
LARGEST_MEMORY_LIMIT: Final = 2**20

RAY_WORDS: Final = ("auto", "local")
DEFAULT_RAY_ADDRESS: Final = RAY_WORDS[0]

MAX_WORKERS: Final = 1024
MAX_SHARD_SIZE: Final = 100_000
"""Cards; beyond that the pixels in flight exceed the memory of common machines."""

_PATHS: Final = ("archive", "output", "model", "textfile")


def default_workers() -> int:
    """Processor cores that this process may use, counting affinity and container limits."""
    from joblib.externals.loky import cpu_count  # noqa: PLC0415 - `--help` must stay light

    return int(cpu_count())


def _default_workers(engine: str) -> int:
    return MAX_WORKERS if engine == "ray" else default_workers()


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Settings of one run.

    Attributes:
        archive: Root of the card folders, absolute like the other paths, or a URL.
        output: The run directory.
        model: The model directory.
        device: ``auto``, ``cpu`` or ``gpu``.
        workers: Processes that read and preprocess; on a cluster, all that it has cores for
            unless fewer are asked for.
        shard_size: Cards per shard.
        limit: Read only the first cards of the archive; None for all.
        engine: Who runs the workers.
        shard_timeout: Seconds that a worker may take for one shard.
        second_reader: Cards that a second reader looks at: ``off`` for none, ``review`` for
            those that would go to review, or ``all``.
        changes: What becomes of a run under which the archive changes: ``stop`` with exit
            code 4, or a failed row for each ``card`` that changed before it was read.
        file_mode: Permissions of new files, octal, before the umask; folders can also be
            searched by whoever may read them.
        textfile: File for the metrics of each session, for node_exporter; None for none.
        card_timeout: Seconds that a worker may take from one card to the next.
        worker_memory_limit: MiB that a worker may take beyond its libraries; None for all.
        ray_address: Where the Ray cluster is: ``auto``, ``HOST:PORT``, or ``local`` for one
            of this machine alone.
        slice: Part of the shards that this process reads, e.g. ``2/8``; None for all.
        inference: Who computes the network: ``tensorflow``, ``litert``, or ``auto`` until it is
            settled, once for a run.
    """

    archive: Path | ArchiveUrl
    output: Path
    model: Path
    device: str
    workers: int
    shard_size: int
    limit: int | None
    engine: str
    shard_timeout: float
    second_reader: str
    changes: str
    file_mode: str
    textfile: Path | None
    card_timeout: float
    worker_memory_limit: int | None
    ray_address: str
    slice: str | None
    inference: str

    @property
    def permissions(self) -> int:
        """``file_mode`` as a number."""
        return int(self.file_mode, 8)

    def fingerprint(self, card: ModelCard, second: Parameters | None = None) -> dict[str, Any]:
        """Everything that changes results, flat and comparable; not workers or device.

        Args:
            card: The model.
            second: The second reader, where one takes part.
        """
        return {
            "shard_size": self.shard_size,
            "limit": self.limit,
            "model_sha256": card.sha256,
            "model_name": card.name,
            "temperature": card.temperature,
            "class_bias_sha256": sha256(repr(card.class_bias).encode()).hexdigest(),
            **{f"tail.{name}": value for name, value in asdict(card.tail).items()},
            **{f"policy.{name}": value for name, value in asdict(card.policy).items()},
            "package_version": __version__,
            "vin_tables_sha256": tables_sha256(),
            # A setting that a run never had is left out: older runs go on.
            **({} if self.changes == "stop" else {"changes": self.changes}),
            **({} if self.second_reader == "off" else self._second_fingerprint(second)),
            **(self._litert_fingerprint(card) if self.inference == "litert" else {}),
        }

    def _litert_fingerprint(self, card: ModelCard) -> dict[str, Any]:
        from vin_batch.classifier.artefact import find_artefact  # noqa: PLC0415 - needs NumPy

        artefact = find_artefact(card)
        digest = None if artefact is None else artefact.sha256
        return {"inference": self.inference, "inference_sha256": digest}

    def _second_fingerprint(self, second: Parameters | None) -> dict[str, Any]:
        return {
            "second_reader": self.second_reader,
            "second_reader.weights_sha256": second.weights_sha256 if second else None,
            "second_reader.parameters_sha256": second.sha256 if second else None,
        }

    def as_dict(self) -> dict[str, Any]:
        """The settings for ``run.json``."""
        return {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in asdict(self).items()
        }


SETTINGS: Final = tuple(field.name for field in fields(RunConfig))


def load_config(file: Path | None, flags: Mapping[str, Any]) -> RunConfig:
    """Merge defaults, the ``[run]`` table of a TOML file, and flags, in this order.

    Args:
        file: TOML file; relative paths in it start at its own folder.
        flags: Settings by name; None means that the flag was not given.

    Returns:
        The checked settings.

    Raises:
        UsageError: An unknown key, a value of a wrong kind or range, or no archive or output.
    """
    values: dict[str, Any] = {
        "model": default_model_directory(),
        "device": "auto",
        "workers": None,
        "shard_size": DEFAULT_SHARD_SIZE,
        "limit": None,
        "engine": "local",
        "shard_timeout": DEFAULT_SHARD_TIMEOUT,
        "second_reader": "off",
        "changes": "stop",
        "file_mode": FILE_MODES[0],
        "textfile": None,
        "card_timeout": DEFAULT_CARD_TIMEOUT,
        "worker_memory_limit": None,
        "ray_address": DEFAULT_RAY_ADDRESS,
        "slice": None,
        "inference": "auto",
    }
    values |= read_table(file, "run", _PATHS) if file else {}
    values |= {name: value for name, value in flags.items() if value is not None}
    return validated(values)


def validated(values: Mapping[str, Any]) -> RunConfig:
    """Check settings and make them a configuration.

    Raises:
        UsageError: A setting is unknown, missing, or has a wrong kind or range.
    """
    unknown = sorted(set(values) - set(SETTINGS))
    if unknown:
        raise UsageError(
            f"unknown setting {', '.join(unknown)}", f"Settings are: {', '.join(SETTINGS)}."
        )
    for name, how in (("archive", "ARCHIVE"), ("output", "-o RUN_DIR")):
        if not values.get(name):
            raise UsageError(f"{name} is not given", f"Give {how}, or `{name}` in [run].")
    workers, engine = values.get("workers"), checked_choice(values, "engine", ENGINES)
    config = RunConfig(
        archive=checked_archive(values),
        output=checked_path(values, "output"),
        model=checked_path(values, "model"),
        device=checked_choice(values, "device", DEVICES),
        workers=_default_workers(engine)
        if workers is None
        else checked_count(values, "workers", MAX_WORKERS),
        shard_size=checked_count(values, "shard_size", MAX_SHARD_SIZE),
        limit=None if values.get("limit") is None else checked_count(values, "limit", 2**31 - 1),
        engine=engine,
        shard_timeout=_seconds(values, "shard_timeout"),
        # Runs that began before there was a second reader do not name one.
        second_reader=checked_choice(
            {"second_reader": "off", **values}, "second_reader", SECOND_READERS
        ),
        changes=checked_choice({"changes": "stop", **values}, "changes", CHANGES),
        file_mode=_mode(values.get("file_mode", FILE_MODES[0])),
        textfile=None if values.get("textfile") is None else _textfile(values),
        card_timeout=_seconds({"card_timeout": DEFAULT_CARD_TIMEOUT, **values}, "card_timeout"),
        worker_memory_limit=_memory_limit(values),
        ray_address=_address(values.get("ray_address", DEFAULT_RAY_ADDRESS)),
        slice=_slice(values.get("slice")),
        # Runs that began before there was a choice were read with TensorFlow, and so is the rest.
        inference=checked_choice({"inference": "tensorflow", **values}, "inference", INFERENCES),
    )
    _keep_apart(config)
    return config


def read_table(file: Path, name: str, paths: Collection[str]) -> dict[str, Any]:
    """Read one table of a TOML file.

    Args:
        file: The file.
        name: The table; an absent one is empty.
        paths: Settings in it that are paths; relative ones start at the folder of the file.

    Raises:
        UsageError: The file cannot be read, is not TOML, or the name stands for no table.
    """
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read configuration {file}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file} is not TOML: {error}") from error
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise UsageError(
            f"{file}: `{name}` is not a table", f"Write the settings below a line [{name}]."
        )
    return {
        key: file.parent / value
        if key in paths and isinstance(value, str) and not ArchiveUrl.is_url(value)
        else value
        for key, value in table.items()
    }


def checked_archive(values: Mapping[str, Any]) -> Path | ArchiveUrl:
    """Where the archive lies: a path, made absolute, or a URL.

    Raises:
        UsageError: It is neither, or the URL holds a secret.
    """
    place = values["archive"]
    if ArchiveUrl.is_url(place):
        url = ArchiveUrl.parse(os.fspath(place))
        if url.local_path is None:
            return url
        return checked_path({"archive": url.local_path}, "archive")
    return checked_path(values, "archive")


def checked_path(values: Mapping[str, Any], name: str) -> Path:
    """A setting that is a path, made absolute.

    Raises:
        UsageError: It is none.
    """
    value = values[name]
    if not isinstance(value, (str, Path)) or "\0" in str(value):
        raise UsageError(f"{name} is not a path: {value!r}")
    # Links are kept: what the operator calls the archive is what messages should call it.
    return Path(os.path.abspath(value))  # noqa: PTH100


def _mode(value: object) -> str:
    # TOML has octal numbers, too: 0o640.
    text = f"{value:04o}" if isinstance(value, int) and value in {0o640, 0o600} else value
    return checked_choice({"file_mode": text}, "file_mode", FILE_MODES)


def _textfile(values: Mapping[str, Any]) -> Path:
    path = checked_path(values, "textfile")
    if path.suffix != ".prom":
        raise UsageError(
            f"textfile {path} does not end in .prom",
            "node_exporter reads the *.prom files of its textfile directory, and no others.",
        )
    return path


def checked_choice(values: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """A setting that is one of a few words.

    Raises:
        UsageError: It is another.
    """
    value = values[name]
    if value not in allowed:
        raise UsageError(f"{name} {value!r} is not available", f"Available: {', '.join(allowed)}.")
    return str(value)


def checked_count(values: Mapping[str, Any], name: str, most: int, least: int = 1) -> int:
    """A setting that is a whole number.

    Raises:
        UsageError: It is none, or beyond the limits.
    """
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"{name} must be a whole number from {least} to {most}, not {value!r}")
    return value


def _address(value: object) -> str:
    if value in RAY_WORDS:
        return str(value)
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or "/" in host or not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise UsageError(
            f"ray_address {value!r} is no address",
            f"Give {', '.join(RAY_WORDS)}, or HOST:PORT of the head node, e.g. 10.0.0.1:6379.",
        )
    return f"{host}:{port}"


def _slice(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"slice must be a text such as '2/8', not {value!r}")
    return str(parse_slice(value))


def _memory_limit(values: Mapping[str, Any]) -> int | None:
    if values.get("worker_memory_limit") is None:
        return None
    return checked_count(values, "worker_memory_limit", LARGEST_MEMORY_LIMIT, SMALLEST_MEMORY_LIMIT)


def _seconds(values: Mapping[str, Any], name: str) -> float:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise UsageError(f"{name} must be a positive number of seconds, not {value!r}")
    return float(value)


def _keep_apart(config: RunConfig) -> None:
    if isinstance(config.archive, ArchiveUrl):
        return
    archive, output = config.archive.resolve(), config.output.resolve()
    if output == archive or archive in output.parents:
        raise UsageError(
            f"RUN_DIR {config.output} lies inside the archive {config.archive}",
            "Results inside the archive would change it under the run: give a directory "
            "elsewhere with -o.",
        )
