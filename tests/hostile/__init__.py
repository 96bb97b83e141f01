"""Broken, strange and malicious input: one corpus, and what must become of it."""
