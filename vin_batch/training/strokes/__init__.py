"""Pen strokes: characters as people draw them, by hands with habits of their own."""

from vin_batch.training.strokes.pack import stroke_pack
from vin_batch.training.strokes.rejects import REJECT_KINDS, RejectKind, write_reject
from vin_batch.training.strokes.writer import StrokeWriter

__all__ = ["REJECT_KINDS", "RejectKind", "StrokeWriter", "stroke_pack", "write_reject"]
