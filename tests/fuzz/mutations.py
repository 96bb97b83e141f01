"""Damaged image files without end, each from a seed, so that every one can be made again."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from hostile.formats import PNG_SIGNATURE, chunk

Random = np.random.Generator
Mutation = Callable[[bytearray, Random], bytes | bytearray]

INTERESTING: Final = (0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255)
WORDS: Final = (0, 1, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEADER_BYTES: Final = 300
"""Where most of what a decoder believes stands."""


def _place(data: bytearray, rng: Random) -> int:
    near = min(len(data), HEADER_BYTES if rng.random() < 0.7 else len(data))
    return int(rng.integers(max(near, 1)))


def flip_bits(data: bytearray, rng: Random) -> bytearray:
    """Turn a few bits over."""
    for _ in range(int(rng.integers(1, 9))):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def set_bytes(data: bytearray, rng: Random) -> bytearray:
    """Write bytes that are often limits."""
    for _ in range(int(rng.integers(1, 6))):
        data[_place(data, rng)] = int(rng.choice(INTERESTING))
    return data


def set_words(data: bytearray, rng: Random) -> bytearray:
    """Write numbers of 16 or 32 bits that are often limits."""
    for _ in range(int(rng.integers(1, 4))):
        word = int(rng.choice(WORDS))
        code = str(rng.choice(["<I", ">I", "<H", ">H"]))
        packed = struct.pack(code, word & (0xFFFF if code.endswith("H") else 0xFFFFFFFF))
        at = _place(data, rng)
        data[at : at + len(packed)] = packed
    return data


def cut(data: bytearray, rng: Random) -> bytearray:
    """Lose the end, or write it as zeros."""
    at = int(rng.integers(1, len(data)))
    return data[:at] + (bytes(len(data) - at) if rng.random() < 0.5 else b"")


def remove(data: bytearray, rng: Random) -> bytearray:
    """Lose something in the middle."""
    at = _place(data, rng)
    del data[at : at + int(rng.integers(1, 40))]
    return data


def repeat(data: bytearray, rng: Random) -> bytearray:
    """Say something again, up to a hundred times."""
    at, size = _place(data, rng), int(rng.integers(1, 200))
    piece = bytes(data[at : at + size]) * int(rng.choice([1, 2, 100]))
    return data[:at] + piece + data[at:]


def insert_noise(data: bytearray, rng: Random) -> bytearray:
    """Put in bytes that mean nothing."""
    at = _place(data, rng)
    return data[:at] + rng.bytes(int(rng.integers(1, 60))) + data[at:]


MUTATIONS: Final[tuple[Mutation, ...]] = (
    flip_bits, set_bytes, set_words, set_words, cut, remove, repeat, insert_noise,
)  # fmt: skip


def repaired(data: bytes) -> bytes:
    """A damaged PNG with its checksums made right again, so that the damage gets further."""
    if not data.startswith(PNG_SIGNATURE):
        return data
    pieces, at = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if name == b"IDAT" and len(body) < 2:
            body = zlib.compress(body)
        pieces.append(chunk(name, body))
        at += 12 + length
    return b"".join(pieces)


def candidate(seeds: Sequence[bytes], number: int) -> bytes:
    """The candidate of a number; the same every time."""
    rng = np.random.default_rng([7, number])
    data: bytes | bytearray = bytearray(seeds[int(rng.integers(len(seeds)))])
    if rng.random() < 0.05:
        other = seeds[int(rng.integers(len(seeds)))]
        data = data[: len(data) // 2] + bytearray(other[len(other) // 2 :])
    for _ in range(int(rng.integers(1, 4))):
        if len(data) > 1:
            mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
            data = bytearray(mutation(bytearray(data), rng))
    return repaired(bytes(data)) if rng.random() < 0.7 else bytes(data)


def candidates(seeds: Sequence[bytes], start: int = 0) -> Iterator[bytes]:
    """Candidates without end."""
    number = start
    while True:
        yield candidate(seeds, number)
        number += 1
