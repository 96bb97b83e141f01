"""Hands readings to other systems."""
