"""Draws synthetic handwritten cards, any number of them, with known truth."""
