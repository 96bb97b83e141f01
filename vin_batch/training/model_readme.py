"""The words of a model: its measurements as text, and the model card for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from vin_batch.classifier.model_card import CARD_NAME

_SOURCES: Final = """\
Training images come from public collections, which are not part of this project: MNIST
(CC BY-SA 3.0), EMNIST and NIST Special Database 19 (NIST, public), CEDAR/USPS mail digits,
the Kaggle handwritten names forms (CC0 as far as known), CoMNIST (CC BY-SA 4.0), Binary
Alphadigits, and letters from public student repositories. The typefaces shipped in
`vin_batch/synthesis/fonts` (SIL Open Font License 1.1) serve as extra writers."""

_LIMITS: Final = """\
- Digits come mostly from American writers. The region's 1 with a long upstroke, crossed 7
  and Z, open 4 and crossed 0 are rare in the training data.
- Several classes have few writers (F J W X Y Z and every letter in the mail and NIST data).
- Cards for calibration mix several people's glyphs, because no source holds all 33
  characters of one person; a real card has one writer, whose mistakes repeat. Measure the
  product on labelled cards of your own archive before you trust its confidence there.
- Crossed-out characters and letters outside the alphabet were not trained as rejects."""


def write_model_readme(directory: Path) -> None:
    """Write the model card ``README.md`` from ``model.json``."""
    card = json.loads((directory / CARD_NAME).read_text(encoding="utf-8"))
    training, metrics = card["training"], card["metrics"]
    text = "\n\n".join(
        [
            f"# Model card: {card['name']}",
            f"Six convolutions and a small head, {training['parameters']:,} parameters, "
            f"{len(card['classes'])} classes (`{card['classes']}`), made {card['made']}. "
            f"`{card['weights']}` has sha256 `{card['sha256']}`.",
            "## Made by\n\n"
            f"    sh jobs/train_default.sh ../shared/handwriting models/{card['name']}\n\n"
            f"Every figure below is printed by\n\n"
            f"    vin-batch evaluate --model models/{card['name']} "
            "--data ../shared/handwriting --drawn 4000",
            "## Characters\n\n"
            "Images of people or sources that were not trained on, through the production "
            "preprocessing, no rules. `evaluate/` packs (letter_cards, table_cells, "
            "usps_digits) were never trained on at all; of the others, the held-out tenth.\n\n"
            + _character_table(metrics["characters"]),
            "## Cards\n\n"
            "Synthetic VINs written with glyphs of held-out people, framed and scanned by "
            "the simulator; other cards than those of the calibration.\n\n"
            + _card_table(metrics["cards"]),
            f"Temperature {card['temperature']:.3f}; log odds above {card['tail']['knee']:.1f} "
            f"stretched by {1 + card['tail']['gain']:.2f}; confidence = sigmoid("
            f"{card['policy']['slope']:.3f} x log odds of the posterior "
            f"{card['policy']['intercept']:+.3f}); accepted from "
            f"{card['policy']['accept_confidence']:.6f}.",
            "## Sources and licences\n\n" + _SOURCES,
            "## Limits\n\n" + _LIMITS,
        ]
    )
    (directory / "README.md").write_text(text + "\n", encoding="utf-8")


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
        cards = score["cards"]
        rows.append(
            f"| {level} | {cards} | {100 * score['characters_right']:.2f} % "
            f"| {100 * score['raw_right']:.1f} % | {100 * score['vin_right']:.1f} % "
            f"| {100 * score['accepted'] / cards:.1f} % "
            f"| {score['accepted_wrong']} of {score['accepted']} "
            f"| {score['calibration_error']:.4f} |"
        )
    return "\n".join(rows)
