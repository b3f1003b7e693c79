"""Right options by arm with their intervals, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ...store.shell import printable

_LEFT, _WIDE, _RIGHT, _TOP, _ROW = 290, 430, 150, 62, 30
_INK, _SOFT, _LINE, _MARK, _BASE = "#1f2328", "#59636e", "#d8dee4", "#0969da", "#bc4c00"


def svg(told: Mapping[str, Any], arms: Sequence[Mapping[str, Any]]) -> str:
    """An SVG of its own, white behind, a row for each of ``arms`` that ran; the base has another colour."""
    shown = [a for a in arms if a["table"] and a["table"][0]["right"]]
    bottom = _TOP + _ROW * max(1, len(shown))
    width, height = _LEFT + _WIDE + _RIGHT, bottom + 46
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13" role="img">',
        f"<title>Right options by arm: {_text(told['dataset'])}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" fill="{_INK}">Right options, {_text(told["dataset"])}: '
        f"{told['asked']} questions</text>",
        f'<text x="16" y="44" fill="{_SOFT}">share of questions with {told["level"]:.0%} bootstrap intervals</text>',
    ]
    for tenth in range(0, 11, 2):
        x = _x(tenth / 10)
        out.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{_LINE}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="{_SOFT}">{tenth / 10:.1f}</text>')
    x = _x(told["chance"])
    out.append(
        f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="{_SOFT}" stroke-dasharray="4 3"/>'
        f'<text x="{x:.1f}" y="{bottom + 36}" text-anchor="middle" fill="{_SOFT}">chance</text>'
    )
    for i, arm in enumerate(shown):
        out += _row(arm, _TOP + _ROW * i + _ROW / 2, _BASE if arm["name"] == told["base"] else _MARK)
    if not shown:
        out.append(f'<text x="16" y="{_TOP + 20}" fill="{_SOFT}">no arm has scored answers</text>')
    return "\n".join([*out, "</svg>"]) + "\n"


def _row(arm: Mapping[str, Any], y: float, colour: str) -> list[str]:
    found = arm["table"][0]["right"]
    low, at, high = (_x(found[k]) for k in ("low", "value", "high"))
    ends = "".join(f'<line x1="{x:.1f}" y1="{y - 5}" x2="{x:.1f}" y2="{y + 5}"/>' for x in (low, high))
    title = arm["title"] if len(arm["title"]) <= 42 else arm["title"][:41] + "…"
    return [
        f'<text x="{_LEFT - 14}" y="{y + 4}" text-anchor="end" fill="{_INK}">{_text(title)}</text>',
        f'<g stroke="{colour}" stroke-width="2"><line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}"/>{ends}</g>',
        f'<circle cx="{at:.1f}" cy="{y}" r="5" fill="{colour}"/>',
        f'<text x="{_LEFT + _WIDE + 16}" y="{y + 4}" fill="{_INK}">{found["value"]:.3f} '
        f'<tspan fill="{_SOFT}">[{found["low"]:.2f}, {found["high"]:.2f}]</tspan></text>',
    ]


def _x(share: float) -> float:
    return _LEFT + _WIDE * share


def _text(text: str) -> str:
    return escape(printable(text))
