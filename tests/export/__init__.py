"""Exports, and one database server for them."""
