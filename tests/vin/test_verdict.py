from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vin_batch.records import BoxIssue, CheckDigitState, DecisionPolicy, Reading, Status
from vin_batch.vin.check_digit import is_valid
from vin_batch.vin.decoder import Decoder
from vin_batch.vin.reasons import REASON_OF_ISSUE, Reason
from vin_batch.vin.verdict import confidences, judge
from vin_ink import ink, noisy_cards

SOVIET = "XTA210990K1491754"
AMERICAN = "1G4AH59H45G118341"
POLICY = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.99)
ORDER = [reason.value for reason in Reason]


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder()


def one(
    decoder: Decoder,
    card: NDArray[np.float32],
    issues: dict[int, BoxIssue] | None = None,
    extra: int = 0,
    policy: DecisionPolicy = POLICY,
) -> Reading:
    codes = np.zeros((1, 17), dtype=np.uint8)
    for position, issue in (issues or {}).items():
        codes[0, position - 1] = issue
    boxes = np.array([extra], dtype=np.int32)
    return judge(["box/card"], card[None], codes, boxes, policy, decoder)[0]


def test_a_clear_card_is_accepted(decoder: Decoder) -> None:
    reading = one(decoder, ink(AMERICAN))
    assert reading.status is Status.ACCEPTED
    assert reading.card_id == "box/card"
    assert reading.vin == reading.raw_vin == AMERICAN
    assert reading.reasons == ()
    assert reading.changed == ()
    assert reading.check_digit is CheckDigitState.VALID
    assert (reading.wmi, reading.maker, reading.country) == ("1G4", "Buick", "United States")
    assert reading.model_years == (2005,)
    assert [c.position for c in reading.chars] == list(range(1, 18))
    assert reading.chars[0].char == "1"
    assert reading.chars[0].prob == pytest.approx(0.9999, abs=2e-6)
    assert reading.chars[0].issue is None


def test_a_soviet_card_is_accepted_without_a_check_digit(decoder: Decoder) -> None:
    reading = one(decoder, ink(SOVIET))
    assert reading.status is Status.ACCEPTED
    assert reading.check_digit is CheckDigitState.NOT_APPLICABLE


def test_low_confidence_goes_to_review_with_alternatives(decoder: Decoder) -> None:
    reading = one(decoder, ink(SOVIET, p16={"5": 0.6, "6": 0.4}))
    assert reading.status is Status.REVIEW
    assert reading.reasons == ("low_confidence",)
    assert reading.vin == SOVIET
    assert reading.alternatives[0].vin == SOVIET[:15] + "6" + SOVIET[16:]
    assert 0.3 < reading.alternatives[0].prob < 0.45
    total = reading.confidence + sum(a.prob for a in reading.alternatives)
    assert total <= 1.0


def test_a_mismatch_where_the_maker_always_uses_one_is_never_accepted(decoder: Decoder) -> None:
    wrong = AMERICAN[:8] + "7" + AMERICAN[9:]
    generous = DecisionPolicy(slope=1.0, intercept=5.0, accept_confidence=0.1)
    reading = one(decoder, ink(wrong, sure=0.999999), policy=generous)
    assert reading.vin == wrong
    assert reading.check_digit is CheckDigitState.INVALID
    assert reading.status is Status.REVIEW
    assert "check_digit_mismatch" in reading.reasons


@pytest.mark.parametrize(
    ("vin", "state"),
    [
        ("1G4AH59H45G118341", CheckDigitState.VALID),
        ("WAUZZZ8P46A643261", CheckDigitState.VALID),  # fillers, but no Z at 9
        ("WVWZZZ3CZ6P995967", CheckDigitState.NOT_APPLICABLE),  # Z at 9
        ("W1N4M4HB4PW061452", CheckDigitState.VALID),  # Mercedes with letters
        ("WDB2020201F123456", CheckDigitState.NOT_APPLICABLE),  # Mercedes with digits
        ("WF0AXXGCDA5R12345", CheckDigitState.NOT_APPLICABLE),
        ("VF1KZ890H54498545", CheckDigitState.NOT_APPLICABLE),  # Renault: some do
        ("XTA210990K1491754", CheckDigitState.NOT_APPLICABLE),
        ("1G4AH59H75G118341", CheckDigitState.INVALID),
    ],
)
def test_check_digit_states(decoder: Decoder, vin: str, state: CheckDigitState) -> None:
    reading = one(decoder, ink(vin, sure=0.999999))
    assert reading.vin == vin
    assert reading.check_digit is state


def test_a_chance_match_of_a_maker_without_check_digits_says_nothing(decoder: Decoder) -> None:
    chance = next(v for n in range(200) if is_valid(v := f"XTA210990K1{n:06d}"))
    reading = one(decoder, ink(chance))
    assert reading.vin == chance
    assert reading.check_digit is CheckDigitState.NOT_APPLICABLE


def test_a_character_that_only_the_rules_made_goes_to_review(decoder: Decoder) -> None:
    card = ink(AMERICAN, p15={"8": 0.997, "3": 0.002})
    generous = DecisionPolicy(slope=1.0, intercept=0.0, accept_confidence=0.5)
    reading = one(decoder, card, policy=generous)
    assert reading.vin == AMERICAN
    assert reading.changed == (15,)
    assert reading.raw_vin == AMERICAN[:14] + "8" + AMERICAN[15:]
    assert reading.reasons == ("changed_by_rules",)


def test_the_rules_never_overrule_clear_ink_unseen(decoder: Decoder) -> None:
    card = ink("9" + SOVIET[1:], sure=0.999999)
    generous = DecisionPolicy(slope=1.0, intercept=5.0, accept_confidence=0.5)
    reading = one(decoder, card, policy=generous)
    assert reading.vin == SOVIET
    assert reading.confidence > 0.9999
    assert reading.status is Status.REVIEW
    assert reading.reasons == ("changed_by_rules",)


def test_a_change_that_the_ink_allows_is_accepted(decoder: Decoder) -> None:
    reading = one(decoder, ink(AMERICAN, p15={"8": 0.6, "3": 0.4}))
    assert reading.status is Status.ACCEPTED
    assert reading.changed == (15,)


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (BoxIssue.MISSING, "missing_boxes"),
        (BoxIssue.DUPLICATE, "duplicate_boxes"),
        (BoxIssue.EMPTY_FILE, "file_failures"),
        (BoxIssue.UNREADABLE_FILE, "file_failures"),
        (BoxIssue.UNDECODABLE, "file_failures"),
        (BoxIssue.OVERSIZED, "file_failures"),
        (BoxIssue.BLANK, "blank_boxes"),
        (BoxIssue.BLOT, "blot_boxes"),
    ],
)
def test_one_box_without_evidence_goes_to_review_with_the_best_vin(
    decoder: Decoder, issue: BoxIssue, reason: str
) -> None:
    reading = one(decoder, ink(AMERICAN), {14: issue})
    assert reading.status is Status.REVIEW
    assert reading.vin == AMERICAN
    assert reading.raw_vin == AMERICAN[:13] + "?" + AMERICAN[14:]
    assert reading.changed == (14,)
    assert reason in reading.reasons
    box = reading.chars[13]
    assert (box.char, box.prob, box.second, box.issue) == ("?", 0.0, None, issue.code)


def test_a_policy_may_accept_one_empty_box(decoder: Decoder) -> None:
    lenient = DecisionPolicy(1.0, 0.0, 0.9, max_empty_boxes_accepted=1)
    reading = one(decoder, ink(AMERICAN), {14: BoxIssue.BLANK}, policy=lenient)
    assert reading.status is Status.ACCEPTED
    assert reading.reasons == ()


def test_an_extra_box_goes_to_review(decoder: Decoder) -> None:
    reading = one(decoder, ink(AMERICAN), extra=1)
    assert reading.status is Status.REVIEW
    assert reading.reasons == ("extra_boxes",)


def test_ink_of_a_box_with_an_issue_does_not_count(decoder: Decoder) -> None:
    card = ink(AMERICAN)
    card[13] = np.nan
    damaged = one(decoder, card, {14: BoxIssue.UNDECODABLE})
    assert damaged == one(decoder, ink(AMERICAN), {14: BoxIssue.UNDECODABLE})


def test_no_boxes_at_all(decoder: Decoder) -> None:
    reading = one(decoder, ink("?" * 17), dict.fromkeys(range(1, 18), BoxIssue.MISSING))
    assert reading.status is Status.FAILED
    assert reading.reasons == ("no_boxes",)
    assert reading.vin is None
    assert reading.confidence == 0.0
    assert len(reading.chars) == 17


@pytest.mark.parametrize(
    ("torn", "blank", "status"),
    [
        (6, 0, Status.FAILED),  # the files are the cause: with them 17 boxes could be read
        (17, 0, Status.FAILED),
        (2, 5, Status.FAILED),  # 10 read; with the torn ones there would be enough
        (0, 6, Status.UNREADABLE),
        (1, 6, Status.UNREADABLE),  # even repaired files would leave too few
        (5, 0, Status.REVIEW),
    ],
)
def test_too_few_boxes(decoder: Decoder, torn: int, blank: int, status: Status) -> None:
    issues = dict.fromkeys(range(1, torn + 1), BoxIssue.UNDECODABLE)
    issues |= dict.fromkeys(range(torn + 1, torn + blank + 1), BoxIssue.BLANK)
    reading = one(decoder, ink(AMERICAN), issues)
    assert reading.status is status
    assert (reading.vin is None) == (status is not Status.REVIEW)
    assert ("too_few_boxes" in reading.reasons) == (status is not Status.REVIEW)
    assert ("file_failures" in reading.reasons) == (torn > 0)
    assert ("blank_boxes" in reading.reasons) == (blank > 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("00000KEC123456789", Reason.ZERO_PADDED_NUMBER),
        ("00000000000001234", Reason.ZERO_PADDED_NUMBER),
        ("00000000000000000", Reason.ZERO_PADDED_NUMBER),
        ("V1N00000000000000", Reason.NOT_A_VIN),
        ("XXXXXXXXXXXXXXXXX", Reason.NOT_A_VIN),
        ("HTYWKRMZXUBNVDPLE", Reason.NOT_A_VIN),
    ],
)
def test_text_that_is_not_a_vin(decoder: Decoder, text: str, reason: Reason) -> None:
    reading = one(decoder, ink(text))
    assert reading.status is Status.UNREADABLE
    assert reading.reasons == (reason.value,)
    assert reading.vin is None
    assert reading.raw_vin == text


def test_many_zeros_are_no_obstacle_to_a_vin(decoder: Decoder) -> None:
    reading = one(decoder, ink("XTA210130D0000002"))
    assert reading.status is Status.ACCEPTED


def test_a_frame_number_that_looks_like_a_vin_is_not_accepted(decoder: Decoder) -> None:
    reading = one(decoder, ink("FB15X018967000000", sure=0.999999))
    assert reading.status is Status.REVIEW
    assert "unknown_maker" in reading.reasons


def test_an_empty_row_without_an_issue_gives_no_evidence(decoder: Decoder) -> None:
    reading = one(decoder, ink(AMERICAN[:13] + "?" + AMERICAN[14:]))
    assert reading.raw_vin[13] == "?"
    assert reading.status is Status.REVIEW
    assert reading.reasons


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.sampled_from([1.0, 5.0, 20.0]))
def test_every_card_gets_one_well_formed_reading(
    decoder: Decoder, seed: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    cards = noisy_cards(seed, 12, spread)
    cards[:4] = ink(SOVIET, sure=float(rng.uniform(0.6, 0.99999)))
    others = len(BoxIssue) - 1
    issues = rng.choice(others + 1, (12, 17), p=[0.9, *[0.1 / others] * others])
    extra = rng.integers(0, 2, 12).astype(np.int32)
    ids = [f"card{i}" for i in range(12)]
    readings = judge(ids, cards, issues.astype(np.uint8), extra, POLICY, decoder)
    assert [r.card_id for r in readings] == ids
    for i, reading in enumerate(readings):
        assert (reading.vin is None) == (reading.status in {Status.UNREADABLE, Status.FAILED})
        assert bool(reading.reasons) == (reading.status is not Status.ACCEPTED)
        assert list(reading.reasons) == sorted(reading.reasons, key=ORDER.index)
        assert len(reading.raw_vin) == len(reading.chars) == 17
        assert 0.0 <= reading.confidence <= 1.0
        assert reading.confidence == round(reading.confidence, 6)
        if reading.status is Status.ACCEPTED:
            assert reading.confidence >= POLICY.accept_confidence
            assert extra[i] == 0
            assert not issues[i].any()
        if reading.vin:
            differ = [p for p in range(17) if reading.vin[p] != reading.raw_vin[p]]
            assert reading.changed == tuple(p + 1 for p in differ)


def test_a_reading_does_not_depend_on_the_other_cards(decoder: Decoder) -> None:
    cards = noisy_cards(3, 30, 6.0)
    issues = np.zeros((30, 17), dtype=np.uint8)
    extra = np.zeros(30, dtype=np.int32)
    ids = [str(i) for i in range(30)]
    together = judge(ids, cards, issues, extra, POLICY, decoder)
    alone = judge(ids[7:8], cards[7:8], issues[7:8], extra[7:8], POLICY, decoder)
    assert together[7:8] == alone


@given(
    posterior=st.floats(0.0, 1.0),
    slope=st.floats(0.3, 2.0),
    intercept=st.floats(-3.0, 3.0),
)
def test_confidence_is_the_recalibrated_posterior_and_never_above_it(
    posterior: float, slope: float, intercept: float
) -> None:
    policy = DecisionPolicy(slope, intercept, 0.999)
    confidence = float(confidences(np.array([posterior]), policy)[0])
    odds = np.clip(np.log(max(posterior, 1e-300)) - np.log(max(1 - posterior, 1e-300)), -30, 30)
    exact = 1 / (1 + np.exp(-(slope * odds + intercept)))
    assert confidence <= exact + 1e-12
    assert confidence == pytest.approx(exact, abs=2e-6)


def test_every_issue_of_a_box_has_a_reason() -> None:
    assert set(REASON_OF_ISSUE) == set(BoxIssue) - {BoxIssue.NONE}
    failures = {issue for issue in BoxIssue if issue.is_file_failure}
    assert {i for i, r in REASON_OF_ISSUE.items() if r is Reason.FILE_FAILURES} == failures


def test_no_cards(decoder: Decoder) -> None:
    empty = np.zeros((0, 17, 33), dtype=np.float32)
    issues, extra = np.zeros((0, 17), dtype=np.uint8), np.zeros(0, dtype=np.int32)
    assert judge([], empty, issues, extra, POLICY, decoder) == []


def test_arrays_that_do_not_belong_together_are_refused(decoder: Decoder) -> None:
    cards = noisy_cards(0, 2)
    issues, extra = np.zeros((2, 17), dtype=np.uint8), np.zeros(2, dtype=np.int32)
    with pytest.raises(ValueError, match="do not belong together"):
        judge(["a"], cards, issues, extra, POLICY, decoder)
    with pytest.raises(ValueError, match="extra_boxes"):
        judge(["a", "b"], cards, issues, extra[:1], POLICY, decoder)
    cards[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="card b "):
        judge(["a", "b"], cards, issues, extra, POLICY, decoder)
