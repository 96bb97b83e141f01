"""Several machines on one run, with Ray: tasks that read shards, actors that hold models.

The ledger stays what it is: a frozen plan, receipts written last, one process with the lock of
the run. Ray only carries orders to the nodes. Every node sees the archive and the run directory
under the same paths; it publishes what it read there, and the driver counts a shard only when
it has found its receipt and readings itself.
"""
