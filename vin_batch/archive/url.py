"""URLs of archives. They never hold a secret: such a URL is refused before anybody keeps it."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import unquote, urlsplit

from vin_batch.errors import UsageError

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@]*@")


class ArchiveUrl(os.PathLike[str]):
    """Where a remote archive lies: a URL without a slash at its end."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @staticmethod
    def is_url(place: object) -> bool:
        """Tell whether somebody means a URL and not a path."""
        return isinstance(place, ArchiveUrl) or (
            isinstance(place, str) and _SCHEME.match(place) is not None
        )

    @classmethod
    def parse(cls, text: str) -> ArchiveUrl:
        """Check a URL.

        Raises:
            UsageError: It holds a password or a query, or chains protocols.
        """
        shown = redacted(text)
        if shown != text:
            raise UsageError(
                f"the archive's URL holds a user or a password: {shown}",
                "It would be seen by others in the list of processes. Leave it to the "
                "environment or the configuration files of the protocol (AWS_PROFILE, "
                "~/.aws/credentials, ~/.netrc, ~/.config/fsspec).",
            )
        if "::" in text or "\0" in text or (_is_web(text) and re.search(r"[?#]", text)):
            raise UsageError(f"the archive's URL is too complicated: {shown}")
        scheme, _, rest = text.partition("://")
        if not rest.strip("/"):
            raise UsageError(f"the archive's URL names no place: {shown}")
        return cls(f"{scheme.lower()}://{rest.rstrip('/')}")

    @property
    def local_path(self) -> str | None:
        """The path that a ``file`` URL stands for; None for other protocols."""
        parts = urlsplit(self.text)
        if parts.scheme not in {"file", "local"}:
            return None
        return unquote(parts.path) if parts.netloc in {"", "localhost"} else None

    def __fspath__(self) -> str:
        return self.text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"ArchiveUrl({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArchiveUrl) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def redacted(text: str) -> str:
    """A message without what stands before an ``@`` in its URLs, and without queries."""
    text = _CREDENTIALS.sub("***@", text)
    return re.sub(r"(https?://[^\s?]*)\?[^\s]*", r"\1?***", text)


def _is_web(text: str) -> bool:
    return text.lower().startswith(("http:", "https:"))
