"""Longer runs with made-up input; see ``fuzz_decoder.py``."""
