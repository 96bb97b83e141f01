"""Small reads out of large ones."""

from __future__ import annotations

from typing import Final

from vin_batch.archive.tar_members import ReadAt

WINDOW_BYTES: Final = 2**20


def windowed(read: ReadAt, size: int, window: int = WINDOW_BYTES) -> ReadAt:
    """Answer small reads that mostly go forward from a buffer.

    Args:
        read: Gives bytes.
        size: Bytes beyond this offset are never asked for.
        window: Bytes that are asked for at a time.
    """
    begin, buffer = 0, b""

    def read_on(offset: int, length: int) -> bytes:
        nonlocal begin, buffer
        if length >= window:
            return read(offset, min(length, size - offset))
        if not begin <= offset <= offset + length <= begin + len(buffer):
            begin, buffer = offset, read(offset, max(min(window, size - offset), 0))
        return buffer[offset - begin : offset - begin + length]

    return read_on
