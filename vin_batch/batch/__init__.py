"""The job itself: plan, ledger of shards, workers, publishing, resume.

Nothing is imported here: workers and ``status`` load only the modules that they need.
"""
