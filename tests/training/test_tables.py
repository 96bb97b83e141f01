"""Tables count over all sources what each source counts for itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vin_batch.training.measure import UNREAD, Answers, CharacterScore
from vin_batch.training.tables import (
    class_scores,
    classes_json,
    measurement_text,
    pooled_calibration_error,
    worst_confusions,
)


def score(source: str, truth: str, read: str, probs: list[float]) -> CharacterScore:
    """The score of a source whose answers are given."""
    count = len(truth)
    answers = Answers(
        images=np.zeros((count, 4, 4), np.uint8),
        rows=np.arange(count),
        truth=np.array(list(truth)),
        read=np.array(list(read)),
        probs=np.array(probs),
    )
    right = int(answers.right.sum())
    return CharacterScore(source, count, right, {}, (("A4", 1),), answers)


SCORES = [
    score("one", "AAB8", "A488", [0.9, 0.6, 0.7, 1.0]),
    score("two", "AB8", f"4{UNREAD}8", [0.8, 0.0, 1.0]),
]


def test_classes_are_counted_over_all_sources() -> None:
    found = {row.character: row for row in class_scores(SCORES)}
    assert list(found) == ["8", "A", "B"]
    assert (found["A"].images, found["A"].correct, found["A"].read_as) == (3, 1, (("4", 2),))
    assert (found["B"].images, found["B"].correct) == (2, 0)
    assert dict(found["B"].read_as) == {"8": 1, UNREAD: 1}
    assert (found["8"].correct, found["8"].taken_for) == (2, 1)
    assert sum(row.images for row in found.values()) == 7


def test_worst_confusions_come_first() -> None:
    assert worst_confusions(SCORES)[0] == ("A", "4", 2)
    assert {pair[:2] for pair in worst_confusions(SCORES)} == {
        ("A", "4"),
        ("B", "8"),
        ("B", UNREAD),
    }
    assert worst_confusions(SCORES, 1) == [("A", "4", 2)]


def test_calibration_is_pooled_over_images_with_a_result() -> None:
    # Six answers, a bin of their own each: gaps 0.1, 0.6, 0.7, 0, 0.8, 0.
    assert pooled_calibration_error(SCORES) == pytest.approx(2.2 / 6)
    bare = CharacterScore("x", 2, 1, {}, ())
    assert pooled_calibration_error([bare]) is None
    assert class_scores([bare]) == []


def test_words_hold_every_table() -> None:
    text = measurement_text(SCORES, {})
    lines = text.splitlines()
    assert any(line.split()[:3] == ["one", "4", "50.00"] for line in lines)
    assert any(line.split()[:3] == ["A", "3", "33.33"] for line in lines)
    assert "  A as 4: 2" in text
    assert "over all sources: 0.3667" in text
    bare = CharacterScore("x", 2, 1, {}, (("A4", 1),))
    assert "by class" not in measurement_text([bare], {})


def test_classes_in_json() -> None:
    told = json.loads(json.dumps(classes_json(SCORES)))
    assert told["A"]["accuracy"] == 0.33333
    assert told["A"]["interval_95"] == [0.06149, 0.79234]
    assert told["A"]["read_as"] == {"4": 2}
