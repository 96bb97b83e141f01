"""``python -m vin_batch.preprocess.compile_kernels FILE``: what ``engine`` starts, once."""

from __future__ import annotations

import sys
from pathlib import Path

from vin_batch.preprocess.engine import compile_once

if __name__ == "__main__":
    compile_once(Path(sys.argv[1]))
