"""Training: glyph packs, drawn boxes, the network, calibration and measurement."""
