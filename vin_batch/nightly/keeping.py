"""Keeping the catalogue true: it is compared with the runs, and made again where it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from vin_batch.nightly.attempts import SurveyedRun, survey
from vin_batch.nightly.catalogue import Catalogue, CatalogueDamagedError, open_catalogue
from vin_batch.nightly.fold import fold
from vin_batch.nightly.nightdir import NightDir
from vin_batch.nightly.retention import current_runs

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """A catalogue that is true.

    Attributes:
        catalogue: The catalogue.
        rebuilt: Why it was made again from the runs; empty where it was not.
        folded: Runs that were added to it.
        latest: When the last card of any run was read, ISO 8601; empty without one.
    """

    catalogue: Catalogue
    rebuilt: str
    folded: tuple[str, ...]
    latest: str


def survey_all(nights: NightDir, check: Callable[[], None]) -> list[SurveyedRun]:
    """Look at every run from end to end, oldest first.

    Raises:
        DiskError: The ``run.json`` or the plan of one is damaged.
    """
    return [survey(nights.run(name), name, check) for name in nights.run_names()]


def bring_up_to_date(nights: NightDir, check: Callable[[], None], *, force: bool = False) -> Kept:
    """Make the catalogue say what the runs say; needs the lock.

    Args:
        nights: The directory of nights.
        check: Called often; may raise to stop.
        force: Make it again from the runs in any case.

    Raises:
        DiskError: A run is damaged, or the system refused.
    """
    surveyed = survey_all(nights, check)
    latest = max((one.latest for one in surveyed), default="")
    catalogue: Catalogue | None = None
    reason = "asked for"
    if not force:
        try:
            catalogue = open_catalogue(nights.catalogue)
            reason = falsehood(catalogue, surveyed)
        except CatalogueDamagedError as error:
            reason = error.message if nights.catalogue.exists() else "it is missing"
    if catalogue is None or reason:
        if surveyed:
            logger.warning("making the catalogue again from %d runs: %s", len(surveyed), reason)
        catalogue = fold(nights, None, surveyed, check)
        names = tuple(one.name for one in surveyed)
        return Kept(catalogue, reason if surveyed else "", names, latest)
    later = [one for one in surveyed if one.name not in catalogue.runs]
    if later:
        catalogue = fold(nights, catalogue, later, check)
    return Kept(catalogue, "", tuple(one.name for one in later), latest)


def falsehood(catalogue: Catalogue, surveyed: list[SurveyedRun]) -> str:
    """What is wrong with a catalogue, so that adding later runs does not help.

    Returns:
        The reason for people; empty where nothing is wrong.
    """
    there = {one.name: one for one in surveyed}
    latest = max(map(int, catalogue.runs), default=0)
    for name, run in there.items():
        known = catalogue.runs.get(name)
        if known is None and int(name) < latest:
            return f"run {name} appeared among earlier ones"
        if known is not None and known != run.folded:
            return f"the readings of run {name} are others than they were"
    gone = set(catalogue.runs) - set(there)
    lost = gone & current_runs(catalogue) if gone else set()
    if lost:
        return f"run {min(lost)} is gone, and current readings with it: its cards are read again"
    return ""
