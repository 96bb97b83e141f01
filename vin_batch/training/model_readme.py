"""The words of a model: its measurements as text, and the model card for people."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from vin_batch.classifier.model_card import CARD_NAME
from vin_batch.classifier.tail import Tail
from vin_batch.training.fleet import MADE_UP

_SOURCES: Final = """\
Training images come from public collections, which are not part of this project: MNIST
(CC BY-SA 3.0), EMNIST and NIST Special Database 19 (NIST, public), CEDAR/USPS mail digits,
the Kaggle handwritten names forms (CC0 as far as known), CoMNIST (CC BY-SA 4.0), Binary
Alphadigits, and letters from public student repositories. The typefaces shipped in
`vin_batch/synthesis/fonts` (SIL Open Font License 1.1) serve as extra writers."""
_FONTS: Final = """\
So do handwriting fonts under open licences (`vin_batch/training/font_families.csv` names each
family and its licence); they are not part of this project either."""

_FLEETS: Final = (
    " The VINs are those that `vin-batch learn-makers` held out of its list, so that three in four "
    "show a model that it counted; and, in rows of their own, made-up models of the same makers, "
    "as an archive holds them that the list knows little of."
)
_LIMITS: Final = """\
- People's digits come mostly from American writers. The region's 1 with a long upstroke,
  crossed 7 and Z, open 4 and crossed 0 are drawn by the stroke writer; few people of the data
  write them.
- Some ink has no single reading. Of 23,672 held-out images looked at by eye, 506 (2.1 %) were
  ambiguous: 5 and S, 2 and Z, 0 and D, 6 and G, 4 and 9, 2 and L, 4 and Y most often. Only
  position, maker and check digit decide these, and where they do not, the card goes to a person.
- Several classes have few writers (F J W X Y Z and every letter in the mail and NIST data).
- Cards for calibration mix several people's glyphs, because no source holds all 33
  characters of one person; a real card has one writer, whose mistakes repeat. Measure the
  product on labelled cards of your own archive (`vin-batch evaluate --cards`) before you trust
  its confidence there, and refit the threshold to them (`vin-batch calibrate`)."""
_NO_REJECTS: Final = (
    "- Crossed-out characters and letters outside the alphabet were not trained as rejects."
)


def write_model_readme(directory: Path) -> None:
    """Write the model card ``README.md`` from ``model.json``."""
    card = json.loads((directory / CARD_NAME).read_text(encoding="utf-8"))
    metrics = card["metrics"]
    sections = [
        f"# Model card: {card['name']}",
        _what(card),
        "## Made by\n\n" + _made_by(card),
        _characters(metrics.get("characters", {})),
        _cards(metrics.get("cards", {})),
        _reject_table(metrics.get("rejects", {})),
        _calibration(card),
        "## Sources and licences\n\n" + _sources(card["training"]),
        "## Limits\n\n" + _limits(card["training"]),
    ]
    text = "\n\n".join(section for section in sections if section)
    (directory / "README.md").write_text(text + "\n", encoding="utf-8")


def _what(card: dict[str, Any]) -> str:
    training = card["training"]
    network = training.get("plan", {}).get("arch", "six_convolutions")
    cost = f"{training['parameters']:,} parameters"
    if "multiply_adds" in training:
        cost += f", {training['multiply_adds'] / 1e6:.1f} million multiply-adds a character"
    return (
        f"Network `{network}`, {cost}, {len(card['classes'])} classes (`{card['classes']}`), "
        f"made {card['made']}. `{card['weights']}` has sha256 `{card['sha256']}`."
    )


def _made_by(card: dict[str, Any]) -> str:
    if "averaged" in card["training"]:
        made = (
            f"    sh jobs/train_default.sh DATA models/{card['name']}\n\n"
            f"Its last step: {_source_of(card['training']['provenance'])}"
        )
        return f"{made}\n\n{_measured_by(card)}"
    record = card["training"].get("provenance")
    made = (
        f"    sh jobs/train_default.sh DATA models/{card['name']}"
        if record is None
        else f"    {record['command']}\n\n{_source_of(record)}"
    )
    if not card["metrics"].get("characters"):
        return made
    return f"{made}\n\n{_measured_by(card)}"


def _measured_by(card: dict[str, Any]) -> str:
    vins = "--vins LIST " if _has_list(card["metrics"].get("cards", {})) else ""
    return (
        "The figures below are printed by\n\n"
        f"    vin-batch evaluate --model models/{card['name']} --data DATA {vins}--drawn 4000"
    )


def _has_list(scores: Collection[str]) -> bool:
    return any(title.endswith(MADE_UP) for title in scores)


def _source_of(record: dict[str, Any]) -> str:
    revision = record.get("revision") or "not known"
    return f"vin_batch {record['version']}, revision {revision}, {record['date']}."


def _characters(scores: dict[str, Any]) -> str:
    if not scores:
        return ""
    return (
        "## Characters\n\nImages of people or sources that were not trained on, through the "
        "production preprocessing, no rules. `evaluate/` packs (letter_cards, table_cells, "
        "usps_digits) were never trained on at all; of the others, the held-out tenth.\n\n"
        + _character_table(scores)
    )


def _cards(scores: dict[str, Any]) -> str:
    if not scores:
        return ""
    return (
        "## Cards\n\nSynthetic VINs written with glyphs of held-out people, framed and scanned "
        "by the simulator; other cards than those of the calibration. 95 % intervals."
        + (_FLEETS if _has_list(scores) else "")
        + "\n\n"
        + _card_table(scores)
        + _risk_table(scores)
    )


def _calibration(card: dict[str, Any]) -> str:
    policy, tail = card["policy"], Tail(**card.get("tail", {}))
    numbers = (
        f"Temperature {card['temperature']:.3f}; log odds above {tail.knee:.1f} "
        f"stretched by {1 + tail.gain:.2f}; confidence = sigmoid("
        f"{policy['slope']:.3f} x log odds of the posterior {policy['intercept']:+.3f}); "
        f"accepted from {policy['accept_confidence']:.6f}."
    )
    record = card.get("calibration", {})
    if "data_sha256" not in record:
        return "## Calibration\n\n" + numbers
    return (
        f"## Calibration\n\n{numbers}\n\nConfidence and threshold were fitted to "
        f"{record['cards']:,} labelled cards (data sha256 `{record['data_sha256']}`) by\n\n"
        f"    {record['command']}\n\n{_source_of(record)} Of them {record['accepted']:,} are "
        f"accepted, {record['accepted_wrong']} of these wrong; other cards may do worse, because "
        "the threshold was chosen on these. The weights are those of model "
        f"{record['previous']['model']}."
    )


def _sources(training: dict[str, Any]) -> str:
    return _SOURCES + ("\n" + _FONTS if "fonts" in training.get("glyphs", {}) else "")


def _limits(training: dict[str, Any]) -> str:
    trained = training.get("plan", {}).get("reject_share", 0.0) > 0
    return _LIMITS if trained else f"{_LIMITS}\n{_NO_REJECTS}"


def _character_table(scores: dict[str, Any]) -> str:
    rows = [
        "| source | images | right | most frequent confusions (true, read) |",
        "|---|---|---|---|",
    ]
    for source, score in sorted(scores.items()):
        pairs = " ".join(f"{pair}:{count}" for pair, count in list(score["confusions"].items())[:8])
        rows.append(f"| {source} | {score['images']} | {100 * score['accuracy']:.2f} % | {pairs} |")
    return "\n".join(rows)


def _card_table(scores: dict[str, Any]) -> str:
    rows = [
        "| level | cards | characters right | 17 right, no rules | VIN right | accepted | "
        "wrong among accepted | calibration error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for level, score in scores.items():
        cards, bounds = score["cards"], score.get("intervals_95", {})
        rows.append(
            f"| {level} | {cards} | {100 * score['characters_right']:.2f} % "
            f"| {100 * score['raw_right']:.1f} %{_bounds(bounds, 'raw_right', 1)} "
            f"| {100 * score['vin_right']:.1f} %{_bounds(bounds, 'vin_right', 1)} "
            f"| {100 * score['accepted'] / cards:.1f} %{_bounds(bounds, 'accepted', 1)} "
            f"| {score['accepted_wrong']} of {score['accepted']}"
            f"{_bounds(bounds, 'accepted_wrong', 2)} "
            f"| {score['calibration_error']:.4f} |"
        )
    return "\n".join(rows)


def _risk_table(scores: dict[str, Any]) -> str:
    known = {level: score["accepted_at_risk"] for level, score in scores.items()
             if "accepted_at_risk" in score}  # fmt: skip
    if not known:
        return ""
    risks = list(next(iter(known.values())))
    rows = [
        "\n\nAccepted share with at most so many wrong, the threshold chosen on these cards:\n",
        "| level | " + " | ".join(f"{100 * float(risk):g} % wrong" for risk in risks) + " |",
        "|---|" + "---|" * len(risks),
    ]
    for level, points in known.items():
        cells = (f"{100 * points[risk]['share']:.1f} %" for risk in risks)
        rows.append(f"| {level} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _reject_table(scores: dict[str, Any]) -> str:
    if not scores:
        return ""
    rows = [
        "## What is no VIN character\n",
        "Crops that the preprocessing refuses, and how sure the network is of the others "
        "(top probability; shares are of all crops).\n",
        "| kind | crops | refused | mean | median | 90th percentile | above 0.9 | above 0.99 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, score in scores.items():
        numbers = (score["mean"], score["median"], score["percentile_90"])
        cells = ["" if number is None else f"{number:.3f}" for number in numbers]
        cells += [f"{100 * score[f'share_above_{level}']:.1f} %" for level in ("0.9", "0.99")]
        refused = sum(score["refused"].values())
        rows.append(f"| {kind} | {score['crops']} | {refused} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _bounds(intervals: dict[str, list[float]], name: str, decimals: int) -> str:
    if name not in intervals:
        return ""
    low, high = (f"{100 * bound:.{decimals}f}" for bound in intervals[name])
    return f" [{low}, {high}]"
