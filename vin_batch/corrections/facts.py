"""What follows from a VIN that a person wrote down, by the rules the machine uses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vin_batch.records import CheckDigitState
from vin_batch.vin.alphabet import encode
from vin_batch.vin.model_year import model_years
from vin_batch.vin.priors import vin_rules
from vin_batch.vin.rules import PREFIX_LENGTH
from vin_batch.vin.verdict import check_states
from vin_batch.vin.wmi import lookup


@dataclass(frozen=True, slots=True)
class VinFacts:
    """What a VIN says about its vehicle.

    Attributes:
        check_digit: What its check digit says.
        wmi: First three characters, None without a VIN.
        maker: Maker of the WMI, if known.
        country: Country of the WMI, if known.
        model_years: Years that position 10 may mean.
    """

    check_digit: CheckDigitState = CheckDigitState.NOT_APPLICABLE
    wmi: str | None = None
    maker: str | None = None
    country: str | None = None
    model_years: tuple[int, ...] = ()


NO_VIN = VinFacts()


@lru_cache(maxsize=4096)
def facts_of(vin: str | None) -> VinFacts:
    """Look up what a VIN says.

    Args:
        vin: 17 characters of the VIN alphabet, or None.
    """
    if vin is None:
        return NO_VIN
    use = np.array([check_use(vin)])
    maker, country = lookup(vin[:PREFIX_LENGTH])
    return VinFacts(
        check_digit=check_states(encode(vin)[None], use)[0],
        wmi=vin[:PREFIX_LENGTH],
        maker=maker,
        country=country,
        model_years=model_years(vin),
    )


def check_use(vin: str) -> float:
    """Probability that the maker of a VIN uses a check digit.

    It is that of the heaviest cell of the decoder's prior that holds this VIN, which is
    what the machine goes by, too (``vin.decoder.Decoded.check_use``).

    Args:
        vin: 17 characters of the VIN alphabet.
    """
    rules = vin_rules()
    bodies, weights = rules.weigh(encode(vin))
    return float(rules.bodies.check_use[bodies[int(weights.argmax())]])
