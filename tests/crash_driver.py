"""Runs the job with stand-ins in a process of its own: ``crash_driver.py BASE [name=value]``.

``BASE`` holds ``archive`` and ``model``; the run goes to ``BASE/run``, or to ``output``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from batch_fakes import fake_tools, make_config
from vin_batch.batch.job import run_job
from vin_batch.errors import ExitCode, VinBatchError


def main() -> int:
    base = Path(sys.argv[1])
    flags: dict[str, object] = {}
    for argument in sys.argv[2:]:
        name, _, value = argument.partition("=")
        number = float(value) if name.endswith("_timeout") else int(value) if value.isdigit() else 0
        flags[name] = number or (value if name == "slice" else Path(value))
    try:
        outcome = run_job(make_config(base, **flags), fake_tools())
    except VinBatchError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:  # a second one, when the first had already ended the job
        return int(ExitCode.INTERRUPTED)
    return int(outcome.exit_code)


if __name__ == "__main__":
    sys.exit(main())
