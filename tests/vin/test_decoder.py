from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vin_batch.vin.alphabet import INDEX, decode
from vin_batch.vin.check_digit import CHECK_POSITION, check_digit, is_valid
from vin_batch.vin.decoder import CHUNK_CARDS, Decoded, Decoder
from vin_ink import ink, noisy_cards

SOVIET = "XTA210990K1491754"
AMERICAN = "1G4AH59H45G118341"
VOLKSWAGEN = "WVWZZZ3CZ6P995967"


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return Decoder()


def read(decoder: Decoder, *cards: np.ndarray) -> Decoded:
    return decoder.decode(np.stack(cards))


def best(decoded: Decoded, card: int = 0) -> str:
    return decode(decoded.best[card])


@pytest.mark.parametrize("vin", [SOVIET, AMERICAN, VOLKSWAGEN, "Y6DTF69YP80261718"])
def test_clear_ink_is_read_as_it_stands(decoder: Decoder, vin: str) -> None:
    decoded = read(decoder, ink(vin))
    assert best(decoded) == vin
    assert decoded.posterior[0] > 0.995
    assert decoded.log_evidence[0] > 10


def test_a_soviet_vin_beats_its_invalid_check_digit(decoder: Decoder) -> None:
    assert not is_valid(SOVIET)
    forced = SOVIET[:8] + check_digit(SOVIET) + SOVIET[9:]
    decoded = read(decoder, ink(SOVIET, sure=0.97))
    assert best(decoded) == SOVIET
    others = {decode(vin) for vin in decoded.alternatives[0]}
    place = dict(zip(others, decoded.alternative_posteriors[0], strict=False))
    assert place.get(forced, 0.0) < 0.02


def test_forcing_the_check_digit_would_have_been_wrong(decoder: Decoder) -> None:
    """A doubtful character of a Soviet VIN must not be settled by arithmetic."""
    valid = next(
        f"XTA21099{d}K149175{last}"
        for d in "0123456789"
        for last in "0123456789"
        if check_digit(f"XTA21099{d}K149175{last}") == d
    )
    wrong = "7" if valid[16] != "7" else "1"
    doubt = {wrong: 0.9, valid[16]: 0.1}
    decoded = read(decoder, ink(valid, p17=doubt))
    assert best(decoded) == valid[:16] + wrong


@pytest.mark.parametrize(("position", "other"), [(4, "4"), (12, "7"), (15, "8"), (17, "7")])
def test_the_check_digit_settles_a_north_american_doubt(
    decoder: Decoder, position: int, other: str
) -> None:
    true = AMERICAN[position - 1]
    decoded = read(decoder, ink(AMERICAN, sure=0.9999, **{f"p{position}": {other: 0.6, true: 0.4}}))
    assert best(decoded) == AMERICAN
    assert decoded.posterior[0] > 0.98


def test_equal_values_stay_uncertain(decoder: Decoder) -> None:
    """2 and S have the same value: no check digit can tell them apart."""
    vin = "1FA6P8CF2J5500143"
    decoded = read(decoder, ink(vin, p11={"S": 0.5, "2": 0.5}))
    assert decoded.posterior[0] < 0.9
    assert decode(decoded.alternatives[0][0])[10] in "S2"
    assert decoded.alternative_posteriors[0][0] > 0.1


def test_a_blank_box_is_marginalised(decoder: Decoder) -> None:
    blank = SOVIET[:15] + "?" + SOVIET[16:]
    decoded = read(decoder, ink(blank))
    assert 0.05 < decoded.posterior[0] < 0.12
    assert best(decoded)[:15] + best(decoded)[16:] == SOVIET[:15] + SOVIET[16:]
    assert all(decode(vin)[15].isdigit() for vin in decoded.alternatives[0])


def test_a_blank_box_is_restored_by_the_check_digit(decoder: Decoder) -> None:
    decoded = read(decoder, ink(AMERICAN[:13] + "?" + AMERICAN[14:]))
    assert best(decoded) == AMERICAN
    assert decoded.posterior[0] > 0.9


def test_clear_letters_win_over_the_rule_that_a_serial_is_digits(decoder: Decoder) -> None:
    odd = SOVIET[:14] + "A" + SOVIET[15:]
    assert best(read(decoder, ink(odd, sure=0.99999))) == odd


@pytest.mark.parametrize("vin", ["XT4968900K1491754", "9NA210990K1491754", "9NAH59H4X5G118341"])
def test_a_clear_unlisted_wmi_wins(decoder: Decoder, vin: str) -> None:
    decoded = read(decoder, ink(vin, sure=0.99999))
    assert best(decoded) == vin
    assert not decoded.listed[0]


@pytest.mark.parametrize("position", range(4, 18))
@pytest.mark.parametrize("character", ["7", "K", "Z"])
def test_a_clear_character_wins_over_any_position_rule(
    decoder: Decoder, position: int, character: str
) -> None:
    vins = [SOVIET, "WF0AXXGCDA5R12345"]
    if position not in {4, 5}:  # where Mercedes-Benz tells its two ways of numbering apart
        vins.append("WDB2020201F123456")
    if position != CHECK_POSITION:  # and here Volkswagen
        vins.append(VOLKSWAGEN)
    for vin in vins:
        odd = vin[: position - 1] + character + vin[position:]
        assert best(read(decoder, ink(odd, sure=0.99999))) == odd


def test_a_clear_check_digit_wins_over_the_filler_of_volkswagen(decoder: Decoder) -> None:
    checked = VOLKSWAGEN[:8] + check_digit(VOLKSWAGEN) + VOLKSWAGEN[9:]
    assert best(read(decoder, ink(checked, sure=0.99999))) == checked


def test_a_serial_letter_is_read_as_the_digit_it_resembles(decoder: Decoder) -> None:
    decoded = read(decoder, ink(SOVIET, p16={"S": 0.7, "5": 0.3}))
    assert best(decoded) == SOVIET


def test_the_volkswagen_filler_switches_the_check_digit_off(decoder: Decoder) -> None:
    decoded = read(decoder, ink(VOLKSWAGEN), ink("WAUZZZ8P46A643261"))
    assert decoded.check_use[0] == 0.0
    assert decoded.check_use[1] > 0.95


def test_random_text_is_recognisable_by_its_evidence(decoder: Decoder) -> None:
    decoded = read(decoder, ink("HTYWKRMZXUBNVDPLE", sure=0.999999))
    assert decoded.log_evidence[0] < -15


def test_empty_cards_say_nothing(decoder: Decoder) -> None:
    decoded = read(decoder, ink("?" * 17))
    assert decoded.log_evidence[0] == pytest.approx(0.0, abs=1e-6)
    assert decoded.posterior[0] < 1e-6


def test_no_cards(decoder: Decoder) -> None:
    decoded = decoder.decode(np.zeros((0, 17, 33), dtype=np.float32))
    assert decoded.best.shape == (0, 17)
    assert decoded.alternatives.shape == (0, 4, 17)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), before=st.integers(0, 20), after=st.sampled_from([0, 1, 7, 200]))
def test_a_card_does_not_depend_on_its_neighbours(
    decoder: Decoder, seed: int, before: int, after: int
) -> None:
    card = noisy_cards(seed, 1)
    crowd = np.concatenate([noisy_cards(seed + 1, before), card, noisy_cards(seed + 2, after)])
    alone, together = decoder.decode(card), decoder.decode(crowd)
    for name in alone.__slots__:
        np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[before])


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.sampled_from([0.1, 1.0, 4.0, 12.0]))
def test_posteriors_are_ordered_probabilities(decoder: Decoder, seed: int, spread: float) -> None:
    decoded = decoder.decode(noisy_cards(seed, 20, spread))
    all_ = np.column_stack([decoded.posterior, decoded.alternative_posteriors])
    assert (np.diff(all_, axis=1) <= 1e-15).all()
    assert (all_ > 0).all()
    assert (all_.sum(axis=1) <= 1 + 1e-12).all()
    assert np.isfinite(decoded.log_evidence).all()


def test_extreme_ink_neither_overflows_nor_vanishes(decoder: Decoder) -> None:
    cards = np.stack([np.full((17, 33), -3e38, np.float32), np.full((17, 33), -90.0, np.float32)])
    cards[:, np.arange(17), [INDEX[c] for c in SOVIET]] = 0.0
    decoded = decoder.decode(cards)
    assert best(decoded, 0) == best(decoded, 1) == SOVIET
    assert (decoded.posterior > 0.99).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(decoder: Decoder, bad: float) -> None:
    cards = noisy_cards(0, CHUNK_CARDS + 1)
    cards[CHUNK_CARDS, 3, 4] = bad
    with pytest.raises(ValueError, match=f"card {CHUNK_CARDS}"):
        decoder.decode(cards)


@pytest.mark.parametrize("shape", [(17, 33), (2, 16, 33), (2, 17, 36)])
def test_wrong_shapes_are_refused(decoder: Decoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        decoder.decode(np.zeros(shape, dtype=np.float32))
