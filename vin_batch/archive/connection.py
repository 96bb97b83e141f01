"""A file system that fsspec reaches: bounded patience, plain errors, no secrets in words.

Credentials come from the environment or from the files of the protocol's own library; nothing
here ever sees them. Every worker process makes its own connection.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote

from vin_batch.archive.roots import RemoteRoot
from vin_batch.archive.url import redacted
from vin_batch.errors import ArchiveError, UsageError

PAUSES: Final = (0.5, 2.0, 6.0)
"""Seconds between attempts; there is one more attempt than pauses."""
DOWN_SECONDS: Final = 10.0
"""After the last attempt at something failed, nothing is attempted for so long: a network
that is down must not cost every file of a shard all the pauses."""
CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 10
"""Seconds without a byte. All attempts at a file together must stay below ``card_timeout``."""
MAX_WORDS: Final = 300

_TIMES: Final = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")
_TAGS: Final = ("ETag", "etag", "content_md5", "generation")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a listing says about something.

    Attributes:
        path: As the file system spells it.
        name: The last step of it, as it would be called on a disk.
        is_folder: Whether it is a folder.
        size: In bytes; -1 where nobody tells.
        mtime_ns: When it was changed, ns since 1970; 0 where nobody tells.
        tag: Version; empty where nobody tells.
    """

    path: str
    name: bytes
    is_folder: bool
    size: int
    mtime_ns: int
    tag: bytes


class Connection:
    """Lists and reads below a root.

    Args:
        root: Of the archive.

    Raises:
        UsageError: What reaches it is not installed or does not know the URL.
    """

    def __init__(self, root: RemoteRoot) -> None:
        self.url = root.url
        self._fs, self._base = _connect(root.url)
        self._quoted = root.url.startswith(("http://", "https://"))
        self._down: tuple[float, OSError] | None = None
        find = getattr(self._fs, "_find", None) or self._fs.find
        self.finds_by_prefix = "prefix" in find.__code__.co_varnames

    def path(self, relative: bytes) -> str:
        """How the file system spells a path below the root."""
        text = relative.decode("utf-8", "surrogateescape")
        text = quote(text) if self._quoted else text
        return f"{self._base}/{text}" if text else self._base

    def entries(self, relative: bytes) -> list[Entry]:
        """What a folder holds.

        Raises:
            OSError: It is no folder, or cannot be listed.
        """
        path = self.path(relative)
        found = self._patiently(lambda: self._fs.ls(path, detail=True))
        entries = [self._entry(facts) for facts in found]
        if not found and relative and not self._fs.isdir(path):
            raise FileNotFoundError(errno.ENOENT, "No such folder")
        if [entry.path.rstrip("/") for entry in entries] == [path.rstrip("/")] and not entries[
            0
        ].is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "Not a folder")
        return [entry for entry in entries if entry.name and entry.path.rstrip("/") != path]

    def find(self, relative: bytes, prefix: str) -> list[tuple[bytes, Entry]]:
        """All files below a folder whose path there begins so, with that path.

        Raises:
            OSError: They cannot be listed.
        """
        path = self.path(relative)
        found = self._patiently(lambda: self._fs.find(path, prefix=prefix, detail=True))
        begin = len(path) + 1
        return [
            (name[begin:].encode("utf-8", "surrogateescape"), self._entry(facts))
            for name, facts in found.items()
            if not name.endswith("/")
        ]

    def entry(self, relative: bytes) -> Entry:
        """Facts about one file.

        Raises:
            OSError: It is gone, or nobody tells.
        """
        path = self.path(relative)
        return self._entry(self._patiently(lambda: self._fs.info(path)))

    def read(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Bytes of a file.

        Args:
            path: As the file system spells it.
            start: First byte.
            end: Behind the last one.

        Raises:
            OSError: Nobody gives them.
        """
        data = self._patiently(lambda: self._fs.cat_file(path, start=start, end=end))
        return bytes(data)

    def holds(self, relative: bytes) -> bool:
        """Tell whether there is something of that path."""
        path = self.path(relative)
        return bool(self._patiently(lambda: self._fs.exists(path)))

    def _entry(self, facts: dict[str, Any]) -> Entry:
        path = str(facts["name"])
        step = path.rstrip("/").rpartition("/")[2]
        name = (unquote(step) if self._quoted else step).encode("utf-8", "surrogateescape")
        size = facts.get("size")
        return Entry(
            path,
            name,
            facts.get("type") == "directory",
            -1 if size is None else int(size),
            _nanoseconds(next((facts[key] for key in _TIMES if facts.get(key)), None)),
            str(next((facts[key] for key in _TAGS if facts.get(key)), "")).encode(),
        )

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call, and again after pauses where the network may be to blame."""
        down = self._down
        if down is not None and time.monotonic() - down[0] < DOWN_SECONDS:
            raise OSError(down[1].errno, down[1].strerror)
        for pause in (*PAUSES, None):
            try:
                return call()
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                raise
            except Exception as error:
                if pause is None:
                    plain = _plain(error)
                    self._down = time.monotonic(), plain
                    raise plain from error
            time.sleep(pause)
        raise AssertionError("unreachable")


def require_listable(root: RemoteRoot) -> None:
    """Make sure that an archive can be listed.

    Raises:
        ArchiveError: It cannot.
        UsageError: What reaches it is not installed or does not know the URL.
    """
    try:
        found = Connection(root).entries(b"")
    except FileNotFoundError:
        raise ArchiveError(f"archive {root.url} does not exist", "Check the URL.") from None
    except NotADirectoryError:
        raise ArchiveError(f"archive {root.url} is not a folder", "Give the folder.") from None
    except PermissionError as error:
        raise ArchiveError(
            f"archive {root.url} may not be listed: {_words(error)}",
            "Check the credentials in the environment or the files of the protocol "
            "(AWS_PROFILE, ~/.aws), and that they allow listing and reading.",
        ) from error
    except OSError as error:
        raise ArchiveError(
            f"cannot list archive {root.url}: {_words(error)}",
            "Check the network, the endpoint (AWS_ENDPOINT_URL for S3) and the credentials.",
        ) from error
    if not found:
        raise ArchiveError(f"archive {root.url} holds nothing", "Check the URL.")


def _connect(url: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - optional
    except ImportError as error:
        raise _not_installed(url) from error
    scheme = url.partition("://")[0]
    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme in {"s3", "s3a"}:
        options["config_kwargs"] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"max_attempts": 1},
        }
    try:
        fs, base = url_to_fs(url, **options)
    except ImportError as error:
        raise _not_installed(url) from error
    except Exception as error:
        raise UsageError(f"the archive's URL cannot be used: {url}: {_words(error)}") from error
    if hasattr(fs, "retries"):
        fs.retries = 2
    return fs, base.rstrip("/")


def _not_installed(url: str) -> UsageError:
    return UsageError(
        f"what reads {url} is not installed",
        "pip install 'vin_batch[remote]' reads s3:// and http://; other protocols of fsspec "
        "need their own package.",
    )


def _plain(error: Exception) -> OSError:
    """Whatever a library raised, as an error of the system that blames the network."""
    number = errno.ETIMEDOUT if isinstance(error, TimeoutError) else errno.EREMOTEIO
    return OSError(number, _words(error))


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redacted(" ".join(str(text).split()))[:MAX_WORDS]


def _nanoseconds(value: object) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp()) * 10**9 + value.microsecond * 1000
    if isinstance(value, (int, float)):
        return int(value * 10**9)
    if isinstance(value, str):
        try:
            return _nanoseconds(datetime.fromisoformat(value))
        except ValueError:
            return 0
    return 0
