"""One night with stand-ins in a process of its own: ``night_driver.py BASE [inline|workers]``."""

from __future__ import annotations

import sys
from pathlib import Path

from batch_fakes import fake_tools
from night_fakes import inline_run, night_config
from vin_batch.errors import VinBatchError
from vin_batch.nightly.night import NightTools, run_night


def main() -> int:
    tools = NightTools(fake_tools())
    if sys.argv[2:] != ["workers"]:
        tools = NightTools(fake_tools(), run=inline_run)
    config = night_config(Path(sys.argv[1]), keep_nights=1, current=["csv", "parquet"])
    try:
        return int(run_night(config, tools).outcome)
    except VinBatchError as error:
        print(f"{type(error).__name__}: {error.message}", file=sys.stderr)
        return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
