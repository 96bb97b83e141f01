"""Runs the job with stand-ins on a Ray cluster: ``cluster_driver.py BASE ADDRESS``.

``BASE`` holds ``archive`` and ``model``; the run goes to ``BASE/run``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from batch_fakes import make_config
from cluster_fakes import patient_tools
from vin_batch.batch.job import run_job
from vin_batch.errors import VinBatchError


def main() -> int:
    base, address = Path(sys.argv[1]), sys.argv[2]
    config = make_config(base, engine="ray", ray_address=address, workers=None)
    try:
        outcome = run_job(config, patient_tools())
    except VinBatchError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        return int(error.exit_code)
    return int(outcome.exit_code)


if __name__ == "__main__":
    sys.exit(main())
