"""vin_batch reads handwritten VINs from archives of scanned register cards."""

from vin_batch._version import __version__

__all__ = ["__version__"]
