"""Feeds damaged image files to the preprocessing for as long as you like.

    PYTHONPATH=tests python -m fuzz.fuzz_decoder --minutes 5 --start 0

Candidates are numbered, so that another ``--start`` tries others and the same one tries the
same again. Each is tried in a process of its own: one that crashes, hangs, takes more than
900 MiB or 20 seconds, raises, or gives something else than ``uint8[28, 28]`` and an issue is
written to ``--findings`` and named; then the run goes on. Exit code 1 says that there were any.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path

from box_crops import ink_of, plain_crop
from fuzz.mutations import candidate
from hostile.child import DecoderChild, Verdict
from hostile.corpus import FILES

LARGEST_SEED = 40_000
"""Bytes; larger specimens are slow and add nothing."""


def seeds() -> list[bytes]:
    """Whole and strange files of every format."""
    crop = plain_crop(ink_of("R"))
    made = (specimen.make(crop) for specimen in FILES.values())
    return [data for data in made if 0 < len(data) <= LARGEST_SEED]


def keep(finding: Verdict, number: int, folder: Path) -> Path:
    """Write the guilty bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"candidate-{number}.bin"
    path.write_bytes(finding.data)
    return path


def main() -> int:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--start", type=int, default=0, help="number of the first candidate")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"))
    args = parser.parse_args()
    parts, outcomes, findings = seeds(), Counter[str](), 0
    slowest, largest, tried = 0.0, 0, 0
    end = time.monotonic() + 60 * args.minutes
    with DecoderChild() as child:
        for number in count(args.start):
            if time.monotonic() > end:
                break
            (verdict,) = child.judge([candidate(parts, number)])
            tried += 1
            outcomes[verdict.issue or "died"] += 1
            slowest = max(slowest, verdict.cpu_seconds)
            largest = max(largest, verdict.peak_bytes)
            if verdict.defect:
                findings += 1
                path = keep(verdict, number, args.findings)
                print(f"candidate {number}: {verdict.defect}; kept as {path}", flush=True)
    print(f"{tried} candidates from {args.start} on: {dict(outcomes.most_common())}")
    print(f"slowest {slowest:.2f} s, largest {largest / 2**20:.0f} MiB, findings {findings}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
