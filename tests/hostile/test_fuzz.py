"""A few hundred damaged files, new ones by Hypothesis; ``tests/fuzz`` tries millions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.fuzz_decoder import seeds
from fuzz.mutations import MUTATIONS, candidate, repaired
from hostile.child import DecoderChild, Verdict
from hostile.formats import chunk, encoded
from vin_batch.preprocess import preprocess_bytes
from vin_batch.records import BoxIssue

PARTS = seeds()


def test_damaged_files_cost_neither_the_process_nor_much_else() -> None:
    with DecoderChild() as child:
        verdicts = list(child.judge(candidate(PARTS, number) for number in range(300)))
    assert [(n, v.defect) for n, v in enumerate(verdicts) if v.defect] == []
    assert {BoxIssue.NONE.name, BoxIssue.UNDECODABLE.name} <= {v.issue for v in verdicts}


def test_candidates_can_be_made_again() -> None:
    assert [candidate(PARTS, n) for n in range(40)] == [candidate(PARTS, n) for n in range(40)]


def test_a_death_is_noticed_and_the_next_candidate_is_tried() -> None:
    """The harness itself: a child that is killed names the guilty one and is replaced."""
    with DecoderChild() as child:
        verdicts: list[Verdict] = []
        for data in (PARTS[0], b"last words", PARTS[0]):
            if data == b"last words":
                assert child._process is not None
                child._process.kill()
                child._process.join()
            verdicts += child.judge([data])
    assert ["died" in verdict.defect for verdict in verdicts] == [False, True, False]
    assert "SIGKILL" in verdicts[1].defect


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Bytes that Hypothesis can shrink: an order of mutations of one seed."""
    number = draw(st.integers(0, 2**16))
    data = bytearray(draw(st.sampled_from(PARTS)))
    import numpy as np

    rng = np.random.default_rng(number)
    for mutation in draw(st.lists(st.sampled_from(MUTATIONS), min_size=1, max_size=3)):
        data = bytearray(mutation(data, rng)) if len(data) > 1 else data
    return repaired(bytes(data)) if draw(st.booleans()) else bytes(data)


@settings(max_examples=60)
@given(damaged())
def test_a_damaged_file_is_an_image_or_an_issue(data: bytes) -> None:
    image, issue = preprocess_bytes(data)
    assert image.shape == (28, 28)
    assert image.dtype.name == "uint8"
    assert image.any() == (issue is BoxIssue.NONE)


@settings(max_examples=60)
@given(st.binary(max_size=400), st.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"eXIf", b"acTL"]))
def test_any_chunk_of_a_png_is_survived(body: bytes, name: bytes) -> None:
    import numpy as np

    png = encoded(".png", np.full((20, 20, 4), 200, np.uint8))
    image, _ = preprocess_bytes(png[:33] + chunk(name, body) + png[33:])
    assert image.shape == (28, 28)
