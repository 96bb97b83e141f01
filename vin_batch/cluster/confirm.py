"""Believing a node only when the driver finds on the shared storage what it says it wrote."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Final

from vin_batch.batch.ledger import is_valid
from vin_batch.batch.opening import OpenRun
from vin_batch.batch.receipts import Receipt, load_receipt
from vin_batch.batch.share import look_afresh
from vin_batch.cluster.inspection import SHARED
from vin_batch.cluster.messages import Finished
from vin_batch.errors import DiskError

VISIBLE: Final = 120.0
"""Seconds within which a file must be seen everywhere; NFS clients may lag by a minute."""
FRESH: Final = 2.0
"""Seconds between requests to the server of a network file system."""


@dataclass(slots=True)
class Confirmation:
    """Shards that nodes have published, until their receipts are seen here.

    Attributes:
        opened: The run.
        visible: Seconds within which they must be.
    """

    opened: OpenRun
    visible: float = VISIBLE
    _waiting: dict[int, tuple[Finished, float]] = field(default_factory=dict)
    _before: dict[int, str] = field(default_factory=dict)
    _looked: float = float("-inf")

    def expect(self, shard: int) -> None:
        """A shard is about to be read: what its receipt is now does not count."""
        self._before[shard] = self._digest(shard)

    def found(self, shard: int) -> Receipt | None:
        """The valid receipt that somebody wrote since the shard was ordered, if there is one."""
        return self._valid(shard) if self._digest(shard) != self._before.get(shard) else None

    def add(self, news: Finished) -> None:
        """A node says that it has published a shard."""
        self._waiting[news.shard] = (news, time.monotonic() + self.visible)

    def collect(self) -> list[Receipt]:
        """Receipts that have come into sight since.

        Raises:
            DiskError: One has not for too long.
        """
        seen = []
        for shard, (news, deadline) in list(self._waiting.items()):
            receipt = self._valid(shard) if self._is_there(news) else None
            if receipt is not None:
                seen.append(receipt)
                del self._waiting[shard]
            elif time.monotonic() > deadline:
                raise DiskError(
                    f"node {news.host} has published shard {shard}, but it is not in "
                    f"{self.opened.run.root} as this machine sees it",
                    SHARED,
                )
            else:
                self._refresh()
        return seen

    def _is_there(self, news: Finished) -> bool:
        # Somebody who was believed dead may have replaced it by his own since.
        digest = self._digest(news.shard)
        return digest == news.receipt_sha256 or digest not in {"", self._before.get(news.shard)}

    def _refresh(self) -> None:
        if time.monotonic() - self._looked >= FRESH:
            self._looked = time.monotonic()
            for folder in (self.opened.run.readings_dir, self.opened.run.receipts_dir):
                look_afresh(folder)

    def _valid(self, shard: int) -> Receipt | None:
        opened = self.opened
        receipt = load_receipt(opened.run, shard)
        rows = opened.plan.rows(shard)
        if receipt is None or not is_valid(opened.run, receipt, opened.record.run_id, rows):
            return None
        return receipt

    def _digest(self, shard: int) -> str:
        try:
            return hashlib.sha256(self.opened.run.receipt(shard).read_bytes()).hexdigest()
        except OSError:
            return ""
