"""The flag of commands that draw cards."""

from __future__ import annotations

from argparse import ArgumentParser, _ArgumentGroup
from pathlib import Path


def add_vins_flag(parser: ArgumentParser | _ArgumentGroup) -> None:
    """Add ``--vins``."""
    parser.add_argument(
        "--vins",
        type=Path,
        metavar="FILE",
        help="a list of VINs: cards show those that learn-makers holds out of it, and made-up "
        "models besides (default: made-up models alone)",
    )
