"""Where an archive lies; small enough to travel to every worker."""

from __future__ import annotations

import os
from dataclasses import dataclass

from vin_batch.archive.url import ArchiveUrl
from vin_batch.errors import ArchiveError


@dataclass(frozen=True, slots=True)
class FolderRoot:
    """An archive in a file system of this machine.

    Attributes:
        path: The root as given, absolute.
        real: The root with every symbolic link resolved.
    """

    path: bytes
    real: bytes

    def join(self, relative: bytes) -> bytes:
        """Path of something below the root; the root itself for an empty path."""
        return self.path + b"/" + relative if relative else self.path


@dataclass(frozen=True, slots=True)
class RemoteRoot:
    """An archive that fsspec reaches.

    Attributes:
        url: Without a slash at the end.
    """

    url: str


ArchiveRoot = FolderRoot | RemoteRoot


def open_archive(place: str | os.PathLike[str]) -> ArchiveRoot:
    """Check that an archive root can be listed.

    Args:
        place: A folder, or a URL (``s3://bucket/archive``).

    Raises:
        ArchiveError: It cannot.
        UsageError: The URL makes no sense, or what reaches it is not installed.
    """
    if ArchiveUrl.is_url(place):
        url = ArchiveUrl.parse(os.fspath(place))
        if url.local_path is not None:
            return open_folders(url.local_path)
        from vin_batch.archive.connection import require_listable  # noqa: PLC0415

        root = RemoteRoot(url.text)
        require_listable(root)
        return root
    return open_folders(place)


def open_folders(path: str | os.PathLike[str]) -> FolderRoot:
    """Check that a folder can be listed.

    Raises:
        ArchiveError: It cannot.
    """
    absolute = os.path.abspath(os.fsencode(path))  # noqa: PTH100 - bytes, links kept
    advice = "Check the path, that the archive is mounted, and that you may list it."
    try:
        with os.scandir(absolute):
            pass
    except FileNotFoundError:
        raise ArchiveError(f"archive {os.fspath(path)} does not exist", advice) from None
    except NotADirectoryError:
        raise ArchiveError(f"archive {os.fspath(path)} is not a folder", advice) from None
    except OSError as error:
        raise ArchiveError(f"cannot list archive {os.fspath(path)}: {error}", advice) from error
    return FolderRoot(absolute, os.path.realpath(absolute))
