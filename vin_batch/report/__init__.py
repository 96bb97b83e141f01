"""Tells people and machines how a run went: progress, log, summary, report."""
