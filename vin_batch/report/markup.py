"""Small pieces of HTML and SVG; everything that comes from outside is escaped here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

CHART_WIDTH: Final = 720
CHART_HEIGHT: Final = 180
_AXIS: Final = 24
"""Pixels under and left of the bars, for the labels."""
_UNSEEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""Characters that would vanish, turn the text around them, or not be text at all."""

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6675; --paper: #fff;
  --line: #d9dee6; --band: #f4f6f9; --accepted: #2e7d4f; --review: #c98a14;
  --unreadable: #8a93a3; --failed: #b3382c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa4b5;
  --paper: #14181f; --line: #2c3440; --band: #1b212b; --accepted: #58b384;
  --review: #e0ac4a; --unreadable: #77808f; --failed: #e0705f; } }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 64rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
p.lead { color: var(--soft); margin: 0 0 1rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; } td.n, th.n { text-align: right; }
tr:nth-child(even) td { background: var(--band); }
code, .vin { font-family: ui-monospace, Menlo, Consolas, monospace; }
.vin { white-space: nowrap; } .vin b { color: var(--failed); text-decoration: underline; }
.bar { display: flex; height: .8rem; border-radius: .2rem; overflow: hidden;
  background: var(--line); margin: .4rem 0 .8rem; }
.accepted { background: var(--accepted); fill: var(--accepted); }
.review { background: var(--review); fill: var(--review); }
.unreadable { background: var(--unreadable); fill: var(--unreadable); }
.failed { background: var(--failed); fill: var(--failed); }
.dot { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%;
  margin-right: .4rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr));
  gap: 0 2rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
svg line { stroke: var(--line); }
.warning { border-left: .25rem solid var(--failed); background: var(--band);
  padding: .5rem .8rem; margin: 0 0 1rem; }
"""


def page(title: str, body: Iterable[str]) -> str:
    """A whole HTML page without scripts, fonts or pictures from elsewhere."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def section(title: str, *content: str) -> str:
    """A headed part of the page, from finished markup."""
    return f"<section><h2>{text(title)}</h2>{''.join(content)}</section>"


def paragraph(words: str, kind: str = "") -> str:
    """A paragraph of plain text."""
    body = text(words)
    return f'<p class="{escape(kind)}">{body}</p>' if kind else f"<p>{body}</p>"


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], numeric: frozenset[int] = frozenset()
) -> str:
    """A table.

    Args:
        heads: Plain text.
        rows: Cells of finished markup (see ``text``).
        numeric: Columns that are set flush right.
    """
    kinds = [' class="n"' if column in numeric else "" for column in range(len(heads))]
    top = "".join(f"<th{kind}>{escape(head)}</th>" for kind, head in zip(kinds, heads, strict=True))
    lines = (
        "<tr>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def text(value: object) -> str:
    """Anything as escaped text in which every character can be seen."""
    return escape(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", str(value)))


def dot(kind: str) -> str:
    """A coloured dot for a status."""
    return f'<span class="dot {escape(kind)}"></span>'


def share_bar(counts: Mapping[str, int]) -> str:
    """A bar cut into coloured shares; keys are CSS classes."""
    total = max(sum(counts.values()), 1)
    parts = (
        f'<span class="{escape(kind)}" style="width:{100 * count / total:.2f}%"></span>'
        for kind, count in counts.items()
    )
    return f'<div class="bar">{"".join(parts)}</div>'


def marked(characters: str, positions: Iterable[int]) -> str:
    """Text with the characters at some 1-based positions emphasised."""
    chosen = set(positions)
    cells = (
        f"<b>{escape(character)}</b>" if position in chosen else escape(character)
        for position, character in enumerate(characters, start=1)
    )
    return f'<span class="vin">{"".join(cells)}</span>'


def stacked_histogram(series: Mapping[str, Sequence[int]], label: str) -> str:
    """Counts over 0 to 1 in equal bins, stacked, on a square-root scale.

    Args:
        series: Counts by CSS class, all of one length.
        label: What is shown, for readers of the markup.

    Returns:
        An inline SVG. The scale is a square root, so that a few doubtful cards stay visible
        beside thousands of sure ones.
    """
    bins = max((len(counts) for counts in series.values()), default=0)
    totals = [sum(counts[b] for counts in series.values()) for b in range(bins)]
    top = max(totals, default=0) or 1
    step = (CHART_WIDTH - _AXIS) / max(bins, 1)
    pieces: list[str] = []
    for b, total in enumerate(totals):
        full = (CHART_HEIGHT - _AXIS) * (total / top) ** 0.5
        base = float(CHART_HEIGHT - _AXIS)
        for kind, counts in series.items():
            height = full * counts[b] / total if total else 0.0
            base -= height
            if height:
                left = _AXIS + b * step + 1
                pieces.append(_bar(kind, counts[b], x=left, y=base, width=step - 2, height=height))
    return (
        f'<svg viewBox="0 0 {CHART_WIDTH} {CHART_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">{"".join(pieces)}{_axis()}</svg>'
    )


def _bar(kind: str, count: int, *, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{escape(kind)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"><title>{escape(kind)}: {count}</title></rect>'
    )


def _axis() -> str:
    ground = CHART_HEIGHT - _AXIS
    ticks = "".join(
        f'<text x="{_AXIS + share * (CHART_WIDTH - _AXIS):.0f}" y="{ground + 16}" '
        f'text-anchor="{anchor}">{share:g}</text>'
        for share, anchor in ((0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"))
    )
    last = f'<text x="{CHART_WIDTH}" y="{ground + 16}" text-anchor="end">1</text>'
    return f'<line x1="{_AXIS}" y1="{ground}" x2="{CHART_WIDTH}" y2="{ground}"/>{ticks}{last}'
