"""The page: complete, self-contained, escaped; the review queue in a sensible order."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finished_run import VIN, chars_of, make_run, reading, unreadable
from vin_batch.batch.rundir import RunDir
from vin_batch.records import Alternative, Reading, Status
from vin_batch.report.html import write_report
from vin_batch.report.markup import marked, stacked_histogram, table, text
from vin_batch.report.queue import doubtful_positions, review_queue, worth_of_a_look
from vin_batch.report.summary import write_summary

EVIL = '<script>alert("x")</script>&\'.png'
VOID = {"meta", "line", "rect", "br"}


class Page(HTMLParser):
    """Checks nesting and collects tags, attributes and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID or tag == "rect":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def in_review(card_id: str, confidence: float, weak: dict[int, float]) -> Reading:
    return reading(
        card_id,
        Status.REVIEW,
        confidence=confidence,
        reasons=("low_confidence",),
        chars=chars_of(VIN, probs=weak),
        alternatives=(Alternative("XTA210130D0000007", 0.02),),
    )


def page_of(root: Path, *readings: Reading) -> Page:
    run = make_run(root, [list(readings)])
    write_summary(run.root)
    return Page(write_report(run.root).read_text("utf-8"))


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    page = page_of(tmp_path / "run", reading("a"), in_review("b", 0.9, {3: 0.6}), unreadable("c"))
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [value for name, value in page.attributes if name in {"src", "href", "srcset"}]
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes
    assert "url(" not in (tmp_path / "run" / "report.html").read_text("utf-8")
    for expected in ("3 cards read", "accepted", "low_confidence", "AvtoVAZ", VIN, "svg"):
        assert expected in page.text or expected in page.tags


def test_names_from_the_archive_are_text(tmp_path: Path) -> None:
    hostile = in_review(EVIL, 0.9, {3: 0.6})
    page = page_of(tmp_path / "run", hostile, reading("x", maker=EVIL))
    assert "script" not in page.tags
    assert page.text.count(EVIL) == 2
    assert "/archive <1987>" in page.text


def test_no_character_of_a_name_stays_unseen(tmp_path: Path) -> None:
    """A line end, an escape sequence, and a mark that turns the text around it."""
    name = "card\n7\x1b[2J\u202egnp.\ufeff\udcff"
    assert text(name) == r"card\u000a7\u001b[2J\u202egnp.\ufeff\udcff"
    page = page_of(tmp_path / "run", in_review(name[:-1], 0.9, {3: 0.6}))
    assert r"card\u000a7\u001b[2J\u202egnp.\ufeff" in page.text


def test_operators_are_warned(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[unreadable("a", Status.FAILED)], [reading("b")]], {1})
    text_of_page = Page(write_report(run.root).read_text("utf-8")).text
    assert "not complete: 1 of 2 cards" in text_of_page
    assert "1 cards failed" in text_of_page
    assert "No card waits for a look" in text_of_page


def test_a_stale_summary_is_not_believed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")], [reading("b")]])
    receipt = run.receipt(1).read_bytes()
    run.receipt(1).unlink()
    write_summary(run.root)
    run.receipt(1).write_bytes(receipt)
    assert "2 cards read" in write_report(run.root).read_text("utf-8")


def test_the_queue_begins_with_what_a_glance_settles(tmp_path: Path) -> None:
    many = in_review("many doubts", 0.95, {1: 0.5, 2: 0.5, 3: 0.5})
    one = in_review("one doubt", 0.9, {3: 0.6})
    vague = in_review("one doubt, vague", 0.4, {3: 0.6})
    others = [reading("accepted"), unreadable("unreadable")]
    run = make_run(tmp_path / "run", [[many, vague, one, *others]])
    queue = review_queue(run, 10)
    assert [card.card_id for card in queue] == ["one doubt", "one doubt, vague", "many doubts"]
    assert [card.card_id for card in review_queue(run, 1)] == ["one doubt"]
    assert queue[0].doubtful == (3,)


def test_equal_cards_keep_the_order_of_the_plan(tmp_path: Path) -> None:
    shards = [[in_review(name, 0.9, {3: 0.6})] for name in ("z", "m", "a")]
    run = make_run(tmp_path / "run", shards)
    assert [card.card_id for card in review_queue(RunDir(run.root), 3)] == ["z", "m", "a"]


@given(
    st.floats(0, 1), st.lists(st.floats(0, 1), max_size=5), st.integers(0, 17), st.integers(1, 5)
)
def test_worth_is_a_share_and_falls_with_effort(
    confidence: float, others: list[float], boxes: int, more: int
) -> None:
    worth = worth_of_a_look(confidence, others, boxes)
    assert 0 <= worth <= 1
    assert worth_of_a_look(confidence, others, boxes + more) <= worth
    assert worth_of_a_look(confidence, [*others, 0.1], boxes) >= worth


def test_doubt_is_weak_missing_or_overruled_ink() -> None:
    raw = "XTA21013?D0000003"
    probs = [0.99] * 17
    probs[0], probs[8] = 0.5, 0.0
    assert doubtful_positions(VIN, raw, probs) == (1, 9, 17)


@given(st.text(), st.sets(st.integers(1, 20)))
def test_marking_keeps_the_text(characters: str, positions: set[int]) -> None:
    shown = "".join(ch for ch in characters if ch not in "\r\0")  # HTML has no such characters
    page = Page(marked(shown, positions))
    assert page.text == shown
    assert set(page.tags) <= {"span", "b"}


@given(st.text())
def test_cells_are_escaped(value: str) -> None:
    page = Page(table(("a", "b"), [(text(value), text(1))]))
    assert set(page.tags) == {"table", "thead", "tr", "th", "tbody", "td"}


def test_histogram_stacks_to_the_top() -> None:
    svg = stacked_histogram({"accepted": [0, 3], "review": [0, 1]}, "test")
    page = Page(svg)
    assert page.open == []
    assert page.tags.count("rect") == 2
    heights = [float(value) for name, value in page.attributes if name == "height"]
    assert heights[0] == pytest.approx(3 * heights[1], rel=0.01)


def test_an_empty_histogram_draws_its_axis() -> None:
    assert Page(stacked_histogram({}, "none")).tags.count("rect") == 0
