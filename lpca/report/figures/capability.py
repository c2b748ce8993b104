"""Success against the number of latents, and against the bits they could hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpca.evidence import Evidence
from lpca.report.figures.readings import Success, receiver_of, successes
from lpca.report.figures.style import BLUE, FAINT, INK, MARKS, MUTED, PURPLE, FigureError, picture

REFERENCES: Mapping[str, tuple[str, Any]] = MappingProxyType(
    {"p1": (BLUE, "-"), "p0": (MUTED, (0, (5, 2))), "shuffle": (PURPLE, (0, (1, 1.5)))}
)
"""Colour and dashes of what `normal` is held against."""
SAME = ("gate", "answers", "score", "confidence", "task")


@picture
def capability_figure(evidences: Sequence[Evidence]) -> Figure:
    """Draw `normal` against k, over `p0`, `p1` and `shuffle`, from one gate at several k.

    The upper axis is k * d_model * bits per number: what a prefix could hold at most.

    Raises:
        FigureError: they are of different gates, receivers, tasks or scores, hold no `normal`,
            or fewer than two k.
    """
    ordered = sorted(evidences, key=lambda one: (one.k or 0, one.run))
    refuse_mixed(ordered)
    readable = [one for one in ordered if not one.is_invalid]
    if len({one.k for one in readable}) < 2:
        raise FigureError("capability against k needs valid evidence at two k or more")
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for name, (colour, dashes) in REFERENCES.items():
        _reference(axes, readable, name, colour, dashes)
    for one in readable:
        _point(axes, one)
    _axes(axes, readable)
    first = readable[0]
    axes.set_title(
        f"{first.gate}: {first.title}\n"
        f"receiver {receiver_of(first)}, answers {first.answers}{_left_out(ordered)}",
        loc="left",
        size=9,
    )
    axes.legend(*_legend(axes), loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4)
    return figure


def refuse_mixed(evidences: Sequence[Evidence]) -> None:
    """Raise FigureError where evidence is not of one gate, task, score and receiver."""
    for what in SAME:
        held = [getattr(one, what) for one in evidences]
        if len(set(map(repr, held))) > 1:
            values = ", ".join(sorted({str(value)[:40] for value in held}))
            raise FigureError(f"evidence of different {what} does not share a picture: {values}")
    if len({(one.receiver.name, one.receiver.dtype) for one in evidences}) > 1:
        raise FigureError("evidence of different receivers does not share a picture")
    for one in evidences:
        if one.k is None or "normal" not in one.conditions:
            raise FigureError(f"{one.gate}: without k or the condition normal there is no curve")


def finite_bits(evidence: Evidence) -> float | None:
    """Bits a message by the codec's own word; None where `normal` has the nominal capacity."""
    bits, per_vector = evidence.conditions["normal"].bits, evidence.receiver.bits_per_vector
    if bits is None or per_vector is None or evidence.k is None:
        return None
    return None if bits == evidence.k * per_vector else float(bits)


def _success(evidence: Evidence, name: str) -> Success:
    return next(one for one in successes(evidence) if one.condition == name)


def _reference(
    axes: Axes, evidences: Sequence[Evidence], name: str, colour: str, dashes: Any
) -> None:
    """A line through each k's rate, with a band of its intervals; the mean of several seeds."""
    having = [one for one in evidences if name in one.conditions]
    if not having:
        return
    ks = sorted({one.k for one in having if one.k is not None})
    rates, lows, highs = [], [], []
    for k in ks:
        found = [_success(one, name) for one in having if one.k == k]
        rates.append(sum(one.rate for one in found) / len(found))
        lows.append(min(one.interval.low for one in found))
        highs.append(max(one.interval.high for one in found))
    axes.fill_between(ks, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.plot(ks, rates, color=colour, linestyle=dashes, linewidth=1.2, label=name)


def _point(axes: Axes, evidence: Evidence) -> None:
    """`normal` at one k; the mark is the gate's verdict."""
    success, mark = _success(evidence, "normal"), MARKS[evidence.verdict]
    # `refuse_mixed` takes none without
    k = evidence.k or 0
    axes.plot([k, k], [success.interval.low, success.interval.high], color=INK, linewidth=1.6)
    axes.plot(
        k,
        success.rate,
        mark.marker or "s",
        color=mark.colour,
        markerfacecolor=mark.colour if mark.filled and mark.marker else "white",
        markersize=6.5,
        label=f"normal, gate {evidence.verdict}",
        zorder=4,
    )


def _axes(axes: Axes, evidences: Sequence[Evidence]) -> None:
    ks = sorted({one.k for one in evidences if one.k is not None})
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(ks[0] / 1.3, ks[-1] * 1.3)
    axes.set_xlabel("k, number of latent vectors")
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    axes.set_ylabel(f"success rate ({evidences[0].score})")
    axes.grid(axis="y", color=FAINT, linewidth=0.4)
    receiver = evidences[0].receiver
    per_latent = receiver.bits_per_vector
    if per_latent is not None and receiver.d_model is not None:
        top = axes.twiny()
        top.set_xscale("log", base=2)
        top.set_xlim(axes.get_xlim())
        top.set_xticks(ks, [f"{k * per_latent:,}" for k in ks])
        top.set_xticks([], minor=True)
        top.spines["top"].set_visible(True)
        top.set_xlabel(
            f"nominal capacity in bits, k × {receiver.d_model} × {per_latent // receiver.d_model}: "
            "an upper bound, not what is carried"
        )


def _left_out(evidences: Sequence[Evidence]) -> str:
    invalid = [one.k for one in evidences if one.is_invalid]
    return f"; INVALID, not drawn: k = {', '.join(map(str, invalid))}" if invalid else ""


def _legend(axes: Axes) -> tuple[list[Any], list[str]]:
    """Each label once."""
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    return list(entries.values()), list(entries)
