"""A suspect shard worked off without processes: what its parts are together, and its evidence."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import batch_fakes
from batch_fakes import SCARCE, make_archive
from vin_batch.archive import open_archive, walk
from vin_batch.batch.changes import current_stamps
from vin_batch.batch.mark import NO_ROW
from vin_batch.batch.pack import ShardResult, ShardTask, pack_shard
from vin_batch.batch.pool import Loss
from vin_batch.batch.publish import Evidence, pack_evidence
from vin_batch.batch.receipts import Blame, ShardState, Stage
from vin_batch.batch.second_look import LookResult, LookTask, look_again
from vin_batch.batch.suspect import Suspect
from vin_batch.batch.worker import Result, Task
from vin_batch.records import BoxIssue, CardPack
from vin_batch.second_reader.recogniser import SYMBOLS

CARDS = 12
CAUSE = "its worker was killed by SIGSEGV"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("suspect") / "archive", CARDS)


@pytest.fixture
def whole(archive: Path) -> ShardTask:
    root = open_archive(archive)
    return ShardTask(root, 3, tuple(walk(root)), batch_fakes.prepare)


def run_part(task: Task) -> Result:
    return pack_shard(task) if isinstance(task, ShardTask) else look_again(task)


def settle(
    suspect: Suspect,
    guilty: Collection[str],
    pointing: bool = True,
    run: Callable[[Task], Result] = run_part,
) -> Result:
    """Give parts to workers of which those die that meet a guilty card."""
    while (task := suspect.next_task()) is not None:
        rows = [row for row, card in enumerate(task.cards) if card.card_id in guilty]
        if rows:
            suspect.lost(Loss(3, CAUSE, rows[0] if pointing else None))
        else:
            suspect.keep(run(task))
    return suspect.result()


def pack_of(result: Result) -> CardPack:
    assert isinstance(result, ShardResult)
    assert result.pack is not None
    return result.pack


def ids(task: ShardTask, rows: Collection[int]) -> list[str]:
    return [task.cards[row].card_id for row in rows]


@pytest.mark.parametrize("rows", [(), (5,), (0, 11), (3, 4, 9)])
@pytest.mark.parametrize("pointing", [True, False])
def test_parts_are_the_whole_but_for_the_guilty(
    whole: ShardTask, rows: tuple[int, ...], pointing: bool
) -> None:
    suspect = Suspect(whole)
    joined = pack_of(settle(suspect, ids(whole, rows), pointing))
    undisturbed = pack_of(pack_shard(whole))
    innocent = [row for row in range(CARDS) if row not in rows]
    assert joined.card_ids == undisturbed.card_ids
    arrays = ("pixels", "issues", "extra_boxes", "ignored_files")
    for name in (*arrays, "content_digests", "stamp_digests"):
        one, other = getattr(joined, name), getattr(undisturbed, name)
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.array_equal(one[innocent], other[innocent]), name
    assert (joined.issues[list(rows)] == BoxIssue.NOT_READ).all()
    assert not joined.pixels[list(rows)].any()
    assert not joined.content_digests[list(rows)].any()
    assert joined.stat_digest == undisturbed.stat_digest == current_stamps(whole.root, whole.cards)
    assert suspect.blames == [Blame(card, Stage.READ, CAUSE) for card in ids(whole, rows)]
    assert suspect.given_up == []


def test_shard_of_which_nothing_was_read_is_quarantined(whole: ShardTask) -> None:
    suspect = Suspect(replace(whole, cards=whole.cards[:3]))
    pack = pack_of(settle(suspect, ids(whole, range(3))))
    evidence = suspect.testify(pack_evidence(pack, {}, 0, 7, ()))
    assert evidence.state is ShardState.QUARANTINED
    assert (evidence.stat_digest, evidence.content_digests, evidence.stamp_digests) == ("", "", "")
    assert evidence.issues == {"not_read": 3 * 17}
    assert len(evidence.blamed) == 3


def test_what_is_left_when_the_patience_is_gone_is_told(
    whole: ShardTask, caplog: pytest.LogCaptureFixture
) -> None:
    suspect = Suspect(whole)
    while (task := suspect.next_task()) is not None:
        suspect.lost(Loss(3, "no answer within 9 s", 0, timed_out=True))
        assert len(task.cards) <= CARDS
    assert [blame.card_id for blame in suspect.blames] == ids(whole, range(8))
    assert suspect.given_up == ids(whole, range(8, 12))
    testimony = suspect.testify(Evidence(ShardState.DONE, errors=("other",)))
    assert testimony.given_up == 4
    assert testimony.errors[0] == f"{whole.cards[0].card_id}: no answer within 9 s (read)"
    assert "4 cards from" in testimony.errors[-2]
    assert testimony.errors[-1] == "other"
    assert "given up after too many losses" in caplog.text
    pack = pack_of(suspect.result())
    assert (pack.issues == BoxIssue.NOT_READ).all()


def look_task(whole: ShardTask, rows: list[int]) -> LookTask:
    pack = pack_of(pack_shard(whole))
    return LookTask(
        root=whole.root,
        shard=whole.shard,
        cards=tuple(whole.cards[row] for row in rows),
        boxes=np.ones((len(rows), 17), bool),
        contents=pack.content_digests[rows],
        weights=Path("weights"),
        weights_sha256="",
        open_recogniser=lambda *_: Sums(),
    )


class Sums:
    """Scores that depend on the canvas alone."""

    def scores(self, canvases: np.ndarray) -> np.ndarray:
        sums = canvases.reshape(len(canvases), -1).sum(axis=1, dtype=np.int64)
        return np.repeat(-(sums[:, None] % 89).astype(np.float32), len(SYMBOLS), axis=1)


@pytest.mark.parametrize("pointing", [True, False])
def test_second_look_in_parts(whole: ShardTask, pointing: bool) -> None:
    task = look_task(whole, [0, 2, 3, 5, 7, 11])
    guilty = [task.cards[1].card_id, task.cards[4].card_id]
    suspect = Suspect(whole)
    settle(suspect, [])
    suspect.begin_second_look(task)
    look = settle(suspect, guilty, pointing)
    undisturbed = look_again(task)
    assert isinstance(look, LookResult)
    innocent = [0, 2, 3, 5]
    assert np.array_equal(look.scores[innocent], undisturbed.scores[innocent])
    assert np.array_equal(look.seen[innocent], undisturbed.seen[innocent])
    assert look.seen[innocent].all()
    assert not look.seen[[1, 4]].any()
    assert suspect.blames == [Blame(card, Stage.SECOND_LOOK, CAUSE) for card in guilty]


def test_tasks_tell_which_row_they_are_on(whole: ShardTask) -> None:
    told: list[int] = []
    pack_shard(whole, told.append)
    assert told == [*range(CARDS), NO_ROW]
    told.clear()
    look_again(look_task(whole, [4, 5]), told.append)
    assert told == [0, 1, NO_ROW]


def test_too_little_memory_is_a_value_only_for_a_card_that_is_alone(tmp_path: Path) -> None:
    make_archive(tmp_path / "archive", 2)
    victim = tmp_path / "archive" / "box_00" / "card_0001" / "04.png"
    victim.write_bytes(SCARCE)
    root = open_archive(tmp_path / "archive")
    task = ShardTask(root, 0, tuple(walk(root)), batch_fakes.prepare)
    told: list[int] = []
    with pytest.raises(MemoryError):
        pack_shard(task, told.append)
    assert told == [0, 1]
    with pytest.raises(MemoryError):
        pack_shard(replace(task, suspect=True))
    alone = pack_shard(replace(task, cards=task.cards[1:], suspect=True))
    issues = pack_of(alone).issues[0]
    assert issues[3] == BoxIssue.NOT_READ
    assert (issues[[0, 16]] == BoxIssue.NONE).all()
    assert "MemoryError" in alone.errors[0]
