"""Success against the bits of a message: text cut short, text, facts, latents of either kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.base.numbers import level
from lpca.evidence import Evidence
from lpca.gatespec.model import TRUNCATED
from lpca.report.figures.capability import finite_bits, refuse_mixed
from lpca.report.figures.readings import Success, receiver_of, successes
from lpca.report.figures.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    SKY,
    VERMILLION,
    FigureError,
    picture,
)
from lpca.stats import Interval


@dataclass(frozen=True)
class Look:
    """How a kind of message is drawn: shapes and dashes differ, not only colours."""

    label: str
    colour: str
    marker: str
    filled: bool
    dashes: Any
    """"none" where neighbours may be of different rows: no line joins them."""


LOOKS: Mapping[str, Look] = MappingProxyType(
    {
        "cut": Look("text cut to N bytes (p2)", BLUE, "v", False, (0, (1, 1.5))),
        "text": Look("the whole text (p1)", BLUE, "s", True, "-"),
        "facts": Look("structured text (p5)", SKY, "D", True, "-"),
        "nominal": Look("latents, at nominal capacity", INK, "o", True, "-"),
        "coded": Look("latents from a codebook", VERMILLION, "^", False, "none"),
        "donor": Look("another's latents (shuffle)", MUTED, "x", True, "none"),
    }
)
"""By kind; what is drawn with one kind of mark is joined by its line."""
TEXTS: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(TRUNCATED, "cut"), "p1": "text", "p5": "facts"}
)


@dataclass(frozen=True)
class Point:
    """One condition of one or more runs: mean bits a message, success, and what it is called."""

    kind: str
    bits: float
    rate: float
    interval: Interval
    label: str


@picture
def rates_figure(evidences: Sequence[Evidence]) -> Figure:
    """Draw success against bits a message, on a logarithmic axis, from one gate's evidence.

    A text condition that several runs share is drawn once, as they have the same episodes. Bits of
    latents are what their codec says it needs, else the nominal capacity of their numbers.

    Raises:
        FigureError: they are of different gates, receivers, tasks or scores, are INVALID all, or
            report bits of fewer than two kinds of message.
    """
    ordered = sorted(evidences, key=lambda one: (one.k or 0, one.run))
    refuse_mixed(ordered)
    readable = [one for one in ordered if not one.is_invalid]
    points = [point for one in readable for point in _points(one)]
    if len({(point.kind, point.bits) for point in points}) < 2:
        raise FigureError("success against bits needs valid evidence of two rates or more")
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    _guessing(axes, readable)
    for kind, look in LOOKS.items():
        label = look.label + (_uncut(readable) if kind == "text" else "")
        _series(axes, look, label, _once(point for point in points if point.kind == kind))
    _axes(axes, readable)
    left = len(ordered) - len(readable)
    first = readable[0]
    axes.set_title(
        f"{first.gate}: {first.title}\nreceiver {receiver_of(first)}, answers "
        f"{first.answers}, n = {first.looks.used}"
        + (f"; {left} INVALID, not drawn" if left else ""),
        loc="left",
        size=9,
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    return figure


def _points(evidence: Evidence) -> list[Point]:
    found = []
    for one in successes(evidence):
        kind = _kind(one.condition, evidence)
        bits = _bits(evidence, one.condition)
        # no bits stand nowhere on a logarithmic axis
        if kind is not None and bits:
            label = _label(one.condition, evidence)
            found.append(Point(kind, bits, one.rate, one.interval, label))
    return found


def _kind(condition: str, evidence: Evidence) -> str | None:
    if condition == "normal":
        return "nominal" if finite_bits(evidence) is None else "coded"
    return "donor" if condition == "shuffle" else TEXTS.get(condition)


def _label(condition: str, evidence: Evidence) -> str:
    if condition == "normal":
        return f"k={evidence.k}"
    return f"{TRUNCATED[condition]} B" if condition in TRUNCATED else ""


def _uncut(evidences: Sequence[Evidence]) -> str:
    """The sizes that cut no message short: as many bits as the whole, so the same point."""
    sizes = [
        f"{size} B"
        for name, size in TRUNCATED.items()
        if all(_bits(one, name) == _bits(one, "p1") is not None for one in evidences)
    ]
    return f"; {', '.join(sizes)} cut nothing" if sizes else ""


def _bits(evidence: Evidence, condition: str) -> float | None:
    numbers = evidence.conditions.get(condition)
    return None if numbers is None else numbers.bits


def _once(points: Iterable[Point]) -> list[Point]:
    """By rising bits, each different point once."""
    return sorted(set(points), key=lambda one: (one.bits, one.rate, one.label))


def _series(axes: Axes, look: Look, label: str, points: Sequence[Point]) -> None:
    if not points:
        return
    axes.plot(
        [one.bits for one in points],
        [one.rate for one in points],
        marker=look.marker,
        color=look.colour,
        markerfacecolor=look.colour if look.filled else "white",
        markersize=6,
        linewidth=1,
        linestyle=look.dashes,
        label=label,
        zorder=4,
    )
    # text soon gains all there is: above a point its line would cross the label
    is_steep = look is LOOKS["cut"]
    for one in points:
        interval = [one.interval.low, one.interval.high]
        axes.plot([one.bits, one.bits], interval, color=look.colour, linewidth=1.6, zorder=3)
        if one.label:
            axes.annotate(
                one.label,
                (one.bits, one.rate if is_steep else one.interval.high),
                (5, -8) if is_steep else (0, 3),
                textcoords="offset points",
                ha="left" if is_steep else "center",
                size=7,
                color=look.colour,
            )


def _guessing(axes: Axes, evidences: Sequence[Evidence]) -> None:
    """What no message gives: a band, for no bits stand nowhere on a logarithmic axis."""
    found: list[Success] = [
        one for evidence in evidences for one in successes(evidence) if one.condition == "p0"
    ]
    if found:
        low = min(one.interval.low for one in found)
        high = max(one.interval.high for one in found)
        axes.axhspan(low, high, color=FAINT, alpha=0.4, linewidth=0)
        rate = sum(one.rate for one in found) / len(found)
        axes.axhline(
            rate, color=MUTED, linewidth=1, linestyle=(0, (5, 2)), label="no message (p0): 0 bits"
        )


def _axes(axes: Axes, evidences: Sequence[Evidence]) -> None:
    axes.set_xscale("log", base=10)
    axes.margins(x=0.08)
    low, high = axes.get_xlim()
    decades = [10**power for power in range(floor(log10(low)) + 1, ceil(log10(high)))]
    axes.set_xticks(decades, [f"{bits:,}" for bits in decades])
    axes.set_xlim(low, high)
    axes.set_xlabel(
        "bits a message: 8 × bytes of text; k × log2 of a codebook; else k × d_model × bits of "
        "a number,\nan upper bound on what continuous latents hold, not what they carry"
    )
    axes.set_ylim(-0.02, 1.08)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel(
        f"success rate ({evidences[0].score}), {level(evidences[0].confidence)} interval"
    )
    axes.grid(color=FAINT, linewidth=0.4)
