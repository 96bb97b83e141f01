"""``python -m vin_batch`` is ``vin-batch``."""

from vin_batch.cli import main

raise SystemExit(main())
