"""What a number of latents, or of bits, is good for: success against k, and against bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.base.numbers import level
from lpca.evidence.model import Evidence
from lpca.evidence.runs import receiver_name
from lpca.gatespec.model import TRUNCATED
from lpca.report.figures import style
from lpca.report.figures.style import FigureError
from lpca.stats.tables import Interval

REFERENCES: Mapping[str, tuple[str, Any]] = {
    "p1": (style.BLUE, "-"),
    "p0": (style.MUTED, (0, (5, 2))),
    "shuffle": (style.PURPLE, (0, (1, 1.5))),
}
"""Colour and dashes of what `normal` is held against."""
LARGEST_CODEBOOK = 24
"""Bits of an entry of the largest one that is called so."""
SAME = ("gate", "answers", "score", "confidence", "task")


@dataclass(frozen=True)
class MessageKind:
    """How a kind of message is drawn: shapes and dashes differ, not only colours."""

    label: str
    colour: str
    marker: str
    filled: bool
    dashes: Any
    """"none" where neighbours may be of different rows: no line joins them."""


MESSAGE_KINDS: Mapping[str, MessageKind] = {
    "cut": MessageKind("text cut to N bytes (p2)", style.BLUE, "v", False, (0, (1, 1.5))),
    "text": MessageKind("the whole text (p1)", style.BLUE, "s", True, "-"),
    "facts": MessageKind("structured text (p5)", style.SKY, "D", True, "-"),
    "nominal": MessageKind("latents, at their packets' capacity", style.INK, "o", True, "-"),
    "coded": MessageKind("latents from a codebook", style.VERMILLION, "^", False, "none"),
    "donor": MessageKind("another's latents (shuffle)", style.MUTED, "x", True, "none"),
}
"""By name; what is drawn with one kind of mark is joined by its line."""
_KINDS = {"p1": "text", "p5": "facts", "shuffle": "donor"}
"""By condition; text cut short is "cut", `normal` nominal or coded as its codec is."""


@dataclass(frozen=True)
class Point:
    """One condition of one or more runs: mean bits a message, success, and what it is called."""

    kind: str
    bits: float
    rate: float
    interval: Interval
    label: str


@style.picture
def capability_figure(evidences: Sequence[Evidence]) -> Figure:
    """Draw `normal` against k, over `p0`, `p1` and `shuffle`, from one gate at several k.

    The upper axis is k * d_model * bits per number: what a prefix could hold at most.

    Args:
        evidences: in any order; INVALID ones are named and not drawn.

    Raises:
        FigureError: they are of different gates, receivers, tasks or scores, hold no `normal`,
            or fewer than two k.
    """
    ordered, readable = _of_one_gate(evidences)
    if len({one.k for one in readable}) < 2:
        raise FigureError("capability against k needs valid evidence at two k or more")
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for name, (colour, dashes) in REFERENCES.items():
        _reference(axes, readable, name, colour, dashes)
    for evidence in readable:
        _normal(axes, evidence)
    _axes_of_k(axes, readable)
    invalid = [one.k for one in ordered if one.is_invalid]
    left_out = f"; INVALID, not drawn: k = {', '.join(map(str, invalid))}" if invalid else ""
    _set_title(axes, readable[0], left_out)
    # each label once, with the first mark of its kind
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    style.legend_below(axes, 0.16, 4, list(entries.values()), list(entries))
    return figure


@style.picture
def rates_figure(evidences: Sequence[Evidence]) -> Figure:
    """Draw success against bits a message, on a logarithmic axis, from one gate's evidence.

    A text condition that several runs share is drawn once, as they have the same episodes. Bits of
    latents are what their codec declares, else their packets' capacity.

    Args:
        evidences: in any order; INVALID ones are counted and not drawn.

    Raises:
        FigureError: they are of different gates, receivers, tasks or scores, are INVALID all, or
            report bits of fewer than two kinds of message.
    """
    ordered, readable = _of_one_gate(evidences)
    points = {point for one in readable for point in _points(one)}
    if len({(point.kind, point.bits) for point in points}) < 2:
        raise FigureError("success against bits needs valid evidence of two rates or more")
    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    _guessing(axes, readable)
    for name, kind in MESSAGE_KINDS.items():
        label = kind.label + (_uncut(readable) if name == "text" else "")
        own = (point for point in points if point.kind == name)
        _series(axes, kind, label, sorted(own, key=lambda one: (one.bits, one.rate, one.label)))
    _axes_of_bits(axes, readable)
    left = len(ordered) - len(readable)
    left_out = f"; {left} INVALID, not drawn" if left else ""
    _set_title(axes, readable[0], f", n = {readable[0].looks.used}{left_out}")
    style.legend_below(axes, 0.17, 2)
    return figure


def _set_title(axes: Axes, first: Evidence, more: str) -> None:
    setting = f"receiver {receiver_name(first)}, answers {first.answers}{more}"
    style.set_title(axes, f"{first.gate}: {first.title}", setting)


def finite_bits(evidence: Evidence) -> float | None:
    """Bits a message that a codec declares, held to them; None where its packets' capacity counts.

    Evidence of before packets were measured has the declared bits, or the nominal capacity.
    """
    bits, per_vector = evidence.conditions["normal"].bits, evidence.receiver.bits_per_vector
    if evidence.packets is not None:
        declares = evidence.codec is not None and evidence.codec.bits is not None
        return bits if declares else None
    if bits is None or per_vector is None or evidence.k is None:
        return None
    return None if bits == evidence.k * per_vector else float(bits)


def has_rates(evidence: Evidence) -> bool:
    """Whether latents and text cut short, or facts, are there with their bits."""
    held = evidence.conditions
    has_texts = "p5" in held or bool(TRUNCATED.among(held))
    return has_texts and "normal" in held and all(one.bits is not None for one in held.values())


def of_one_curve(evidences: Sequence[Evidence]) -> Sequence[Evidence]:
    """What stands against k: without the codecs of a finite rate, where others are there."""
    return [one for one in evidences if not has_rates(one) or finite_bits(one) is None] or evidences


def _of_one_gate(evidences: Sequence[Evidence]) -> tuple[list[Evidence], list[Evidence]]:
    """All by k, and those of them that may be read.

    FigureError where they are not of one gate, task, score and receiver.
    """
    ordered = sorted(evidences, key=lambda one: (one.k or 0, one.run))
    for what in SAME:
        held = [getattr(one, what) for one in ordered]
        if len(set(map(repr, held))) > 1:
            values = ", ".join(sorted({str(value)[:40] for value in held}))
            raise FigureError(f"evidence of different {what} does not share a picture: {values}")
    if len({(one.receiver.name, one.receiver.dtype) for one in ordered}) > 1:
        raise FigureError("evidence of different receivers does not share a picture")
    for one in ordered:
        if one.k is None or "normal" not in one.conditions:
            raise FigureError(f"{one.gate}: without k or the condition normal there is no curve")
    return ordered, [one for one in ordered if not one.is_invalid]


def _mean_and_band(evidences: Sequence[Evidence], condition: str) -> tuple[float, float, float]:
    """The mean rate of several seeds, and the ends of their intervals."""
    rates = [one.conditions[condition].rate(one.score) for one in evidences]
    intervals = [one.conditions[condition].under(one.score).interval for one in evidences]
    low, high = min(own.low for own in intervals), max(own.high for own in intervals)
    return sum(rates) / len(rates), low, high


def _reference(
    axes: Axes, evidences: Sequence[Evidence], name: str, colour: str, dashes: Any
) -> None:
    """A line through each k's rate, with a band of its intervals."""
    by_k: dict[int, list[Evidence]] = {}
    for evidence in evidences:
        if name in evidence.conditions and evidence.k is not None:
            by_k.setdefault(evidence.k, []).append(evidence)
    if not by_k:
        return
    rates, lows, highs = zip(*(_mean_and_band(own, name) for own in by_k.values()), strict=True)
    axes.fill_between(list(by_k), lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.plot(list(by_k), rates, color=colour, linestyle=dashes, linewidth=1.2, label=name)


def _normal(axes: Axes, evidence: Evidence) -> None:
    """`normal` at one k; the mark is the gate's verdict."""
    numbers, mark = evidence.conditions["normal"], style.MARKS[evidence.verdict]
    interval = numbers.under(evidence.score).interval
    # `_of_one_gate` takes none without
    k = evidence.k or 0
    style.draw_bar(axes, k, [interval.low, interval.high], mark.colour)
    how: Any = {"label": f"normal, gate {evidence.verdict}", "zorder": 4, "clip_on": False}
    style.draw_mark(axes, k, numbers.rate(evidence.score), mark, 5, **how)


def _axes_of_k(axes: Axes, evidences: Sequence[Evidence]) -> None:
    ks = sorted({evidence.k for evidence in evidences if evidence.k is not None})
    edges = ks[0] / 1.3, ks[-1] * 1.3
    _at_each_k(axes, ks, edges, [str(k) for k in ks])
    axes.set_xlabel("k, number of latent vectors")
    _success_axis(axes, 1.02, f"success rate ({evidences[0].score})")
    axes.grid(axis="y", color=style.FAINT, linewidth=0.4)
    receiver = evidences[0].receiver
    per_latent = receiver.bits_per_vector
    if per_latent is not None and receiver.d_model is not None:
        top = axes.twiny()
        _at_each_k(top, ks, edges, [f"{k * per_latent:,}" for k in ks])
        top.spines["top"].set_visible(True)
        top.set_xlabel(
            f"nominal capacity in bits, k × {receiver.d_model} × {per_latent // receiver.d_model}: "
            "an upper bound, not what is carried"
        )


def _success_axis(axes: Axes, top: float, label: str) -> None:
    axes.set_ylim(-0.02, top)
    style.rate_ticks(axes.yaxis)
    axes.set_ylabel(label)


def _at_each_k(
    axes: Axes, ks: Sequence[int], edges: tuple[float, float], labels: Sequence[str]
) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, labels)
    axes.set_xticks([], minor=True)
    axes.set_xlim(*edges)


def _points(evidence: Evidence) -> list[Point]:
    """What has bits: none stand nowhere on a logarithmic axis."""
    latents = "nominal" if finite_bits(evidence) is None else "coded"
    cut = TRUNCATED.among(evidence.conditions)
    kinds = {**_KINDS, **dict.fromkeys(cut, "cut"), "normal": latents}
    labels = {"normal": _of_latents(evidence), **{name: f"{TRUNCATED[name]} B" for name in cut}}
    return [
        Point(
            kinds[name],
            numbers.bits,
            numbers.rate(evidence.score),
            numbers.under(evidence.score).interval,
            labels.get(name, ""),
        )
        for name, numbers in evidence.conditions.items()
        if name in kinds and numbers.bits
    ]


def _of_latents(evidence: Evidence) -> str:
    """What the latents' point is called: their number, and the size of the codebook if any."""
    bits, told = finite_bits(evidence), f"k={evidence.k}"
    each = (bits or 0.0) / (evidence.k or 1)
    # what is no whole number of entries, or too many of them, is of something else
    size = round(2.0**each) if 0.0 < each <= LARGEST_CODEBOOK else 0
    return f"{told} of {size:,}" if size and abs(2.0**each - size) < 1e-6 * size else told


def _uncut(evidences: Sequence[Evidence]) -> str:
    """The sizes that cut no message short: as many bits as the whole, so the same point."""
    bits = [
        {name: held.bits for name, held in evidence.conditions.items()} for evidence in evidences
    ]
    sizes = [
        f"{TRUNCATED[name]} B"
        for name in TRUNCATED.among(name for bit in bits for name in bit)
        if all(bit.get(name) == bit.get("p1") is not None for bit in bits)
    ]
    return f"; {', '.join(sizes)} cut nothing" if sizes else ""


def _series(axes: Axes, kind: MessageKind, label: str, points: Sequence[Point]) -> None:
    if not points:
        return
    face = kind.colour if kind.filled else "white"
    look: Any = {"marker": kind.marker, "markerfacecolor": face, "markersize": 4.5}
    look |= {"clip_on": False}
    look |= {"color": kind.colour, "linestyle": kind.dashes, "linewidth": 1}
    bits, rates = [point.bits for point in points], [point.rate for point in points]
    axes.plot(bits, rates, label=label, zorder=4, **look)
    # text soon gains all there is: above a point its line would cross the label
    is_steep = kind is MESSAGE_KINDS["cut"]
    for point in points:
        interval = [point.interval.low, point.interval.high]
        style.draw_bar(axes, point.bits, interval, kind.colour)
        if point.label:
            axes.annotate(
                point.label,
                (point.bits, point.rate if is_steep else point.interval.high),
                (7, -8) if is_steep else (0, 5),
                textcoords="offset points",
                ha="left" if is_steep else "center",
                va="baseline" if is_steep else "bottom",
                # codebooks of several sizes stand close together
                rotation=90 if kind is MESSAGE_KINDS["coded"] else 0,
                size=6.5,
                color=kind.colour,
            )


def _guessing(axes: Axes, evidences: Sequence[Evidence]) -> None:
    """What no message gives: a band, for no bits stand nowhere on a logarithmic axis."""
    having = [evidence for evidence in evidences if "p0" in evidence.conditions]
    if having:
        rate, low, high = _mean_and_band(having, "p0")
        axes.axhspan(low, high, color=style.FAINT, alpha=0.4, linewidth=0)
        line: Any = {"color": style.MUTED, "linewidth": 1, "linestyle": (0, (5, 2))}
        axes.axhline(rate, label="no message (p0): 0 bits", **line)


def _axes_of_bits(axes: Axes, evidences: Sequence[Evidence]) -> None:
    axes.set_xscale("log", base=10)
    axes.margins(x=0.08)
    low, high = axes.get_xlim()
    decades = [10**power for power in range(floor(log10(low)) + 1, ceil(log10(high)))]
    axes.set_xticks(decades, [f"{bits:,}" for bits in decades])
    axes.set_xlim(low, high)
    axes.set_xlabel(
        "bits a message: 8 × bytes of text; k × log2 of a codebook; else the capacity of the "
        "packet\nthat crossed, an upper bound on what it holds, not what it carries"
    )
    first = evidences[0]
    _success_axis(axes, 1.08, f"success rate ({first.score}), {level(first.confidence)} interval")
    axes.grid(color=style.FAINT, linewidth=0.4)
