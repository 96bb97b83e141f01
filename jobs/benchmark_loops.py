"""The loops that the stages are held against: no framework, nothing but the work.

Every function takes the paths of card folders and does one thing to every file in them. They
run in this process, or in as many plain processes as there are cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from vin_batch.archive import WalkTotals, open_archive, walk
from vin_batch.preprocess import preprocess_bytes
from vin_batch.preprocess.engine import warm_up

SIDE: Final = 28
INK_SIDE: Final = 20
FRAME_SHARE: Final = 0.8
"""Ink that touches an edge and spans this share of the crop is taken for its frame."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What something took.

    Attributes:
        items: How many cards (or files, for walks).
        wall: Seconds that passed.
        cpu: Seconds of processors, all processes and threads together.
    """

    items: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Items per second that passed."""
        return self.items / self.wall

    @property
    def cpu_each(self) -> float:
        """Processor seconds per item."""
        return self.cpu / self.items


Loop = Callable[[Sequence[str]], object]


def files_of(folders: Sequence[str]) -> list[str]:
    """Paths of the files of cards, by name; listing is part of every loop, as it is of the job."""
    return [f"{folder}/{name}" for folder in folders for name in sorted(os.listdir(folder))]


def _contents(folders: Sequence[str]) -> Iterator[bytes]:
    for path in files_of(folders):
        descriptor = os.open(path, os.O_RDONLY)
        yield os.read(descriptor, 1 << 20)
        os.close(descriptor)


def read_only(folders: Sequence[str]) -> int:
    """Read every file; its bytes are counted."""
    return sum(len(data) for data in _contents(folders))


def read_decode(folders: Sequence[str]) -> int:
    """Read and decode every file; its pixels are counted."""
    found = 0
    for data in _contents(folders):
        grey: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        found += grey.size
    return found


def read_decode_lean(folders: Sequence[str]) -> int:
    """Read, decode and preprocess every file as leanly as OpenCV can."""
    found = 0
    for data in _contents(folders):
        found += lean_pixels(data).size
    return found


def read_decode_ours(folders: Sequence[str]) -> int:
    """Read every file and preprocess it as the job does, without anything around it."""
    found = 0
    for data in _contents(folders):
        found += preprocess_bytes(data)[0].size
    return found


def lean_pixels(data: bytes) -> NDArray[np.uint8]:
    """Bytes of a crop to ``uint8[28, 28]``: Otsu, frame out, centred by its moments.

    It tells no torn file, no polarity, no blank and no blot: a bound on speed, no reader.
    """
    grey: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    _, ink = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        ink, connectivity=8, ltype=cv2.CV_16U
    )
    height, width = ink.shape
    x, y, w, h = (stats[1:, column] for column in range(4))
    edge = (x == 0) | (y == 0) | (x + w == width) | (y + h == height)
    frame = edge & ((w >= FRAME_SHARE * width) | (h >= FRAME_SHARE * height))
    if frame.any():
        kept = np.full(count, 255, np.uint8)
        kept[0] = 0
        kept[1:][frame] = 0
        ink = kept[labels]
    moments = cv2.moments(ink, binaryImage=True)
    if not moments["m00"]:
        return np.zeros((SIDE, SIDE), np.uint8)
    _, _, box_width, box_height = cv2.boundingRect(ink)
    scale = INK_SIDE / max(box_width, box_height)
    shift_x = SIDE / 2 - scale * moments["m10"] / moments["m00"]
    shift_y = SIDE / 2 - scale * moments["m01"] / moments["m00"]
    matrix = np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])
    return np.asarray(cv2.warpAffine(ink, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR), np.uint8)


def scan_tree(root: str) -> int:
    """Bare recursion with ``os.scandir``; files are counted."""
    files, stack = 0, [root]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    files += 1
    return files


def walk_tree(root: str) -> int:
    """Our walk; the files of its cards are counted."""
    totals = WalkTotals()
    for _ in walk(open_archive(root), totals):
        pass
    return totals.image_files


def timed(work: Callable[[], int]) -> Cost:
    """Do something in this process; it says how many items it did."""
    wall, cpu = time.perf_counter(), time.process_time()
    items = work()
    return Cost(items, time.perf_counter() - wall, time.process_time() - cpu)


def in_this_process(loop: Loop, folders: Sequence[str]) -> Cost:
    """Cost of a loop over cards."""

    def work() -> int:
        loop(folders)
        return len(folders)

    return timed(work)


class PlainProcesses:
    """Processes that run loops, started and warm before anything is measured.

    Args:
        count: How many; one for each core.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._executor: Executor = ProcessPoolExecutor(
            count, mp_context=get_context("spawn"), initializer=as_a_worker
        )

    def warm(self, loops: Sequence[Loop], folders: Sequence[str]) -> None:
        """Let every process import, compile and try what it will run."""
        for loop in loops:
            self.run(loop, [*folders] * self._count)

    def run(self, loop: Loop, folders: Sequence[str]) -> Cost:
        """Cost of a loop over cards, divided among the processes."""
        parts = [folders[start :: self._count] for start in range(self._count)]
        began = time.perf_counter()
        futures = [self._executor.submit(in_this_process, loop, part) for part in parts]
        costs = [future.result() for future in futures]
        return Cost(len(folders), time.perf_counter() - began, sum(cost.cpu for cost in costs))

    def close(self) -> None:
        """End the processes."""
        self._executor.shutdown()


def as_a_worker() -> None:
    """Prepare a process as the job prepares its workers: OpenCV's threads, compiled kernels."""
    cv2.setNumThreads(1)
    warm_up()
