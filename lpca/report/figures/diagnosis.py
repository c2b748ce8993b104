"""What explains a verdict: training, likeness of prefixes, reversals, scale and noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from lpca.base.numbers import PERCENT, amount
from lpca.evidence.model import Evidence, Similarity
from lpca.report.figures import style

COLOURS = "cividis"
"""Even in lightness, so that grey reads the same."""
_OWN: Mapping[str, Any] = {"color": style.BLUE, "marker": "o", "markersize": 3.5}
_HOLLOW: Mapping[str, Any] = {"markersize": 5, "markerfacecolor": "white"}
STYLES: Mapping[str, Mapping[str, Any]] = {
    "shuffle": {"color": style.VERMILLION, "marker": "s", "linestyle": "--", **_HOLLOW},
    "normal": {**_OWN, "linestyle": "-"},
}
REFERENCES: Mapping[str, Any] = {"p0": (0, (1, 1.5)), "p1": (0, (5, 2))}


@style.picture
def training_figure(evidence: Evidence) -> Figure:
    """Draw the codec's training loss and the shuffled-minus-right gap, both in nats, by step.

    Raises:
        FigureError: the evidence's codec has no training history.
    """
    codec = evidence.codec
    if codec is None or not codec.history:
        raise style.FigureError(f"{style.name_of(evidence)}: its codec has no training history")
    history = codec.history
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    steps, losses = [one.step for one in history], [one.loss for one in history]
    gaps = {one.step: one.gap for one in history if one.gap is not None}
    dashed: Any = {"linestyle": (0, (4, 2)), "marker": "s", "markersize": 3.5, "linewidth": 1.0}
    told = "gap: loss with another message − with the right one (validation)"
    axes.plot(steps, losses, color=style.BLUE, linewidth=1.3, label="training loss")
    axes.plot(list(gaps), list(gaps.values()), color=style.VERMILLION, label=told, **dashed)
    axes.axhline(0.0, color=style.MUTED, linewidth=0.6)
    axes.set_xlabel("training step")
    axes.set_ylabel("nats per answer token")
    style.legend_below(axes, 0.2, 2)
    name = style.name_of(evidence)
    style.set_title(axes, f"{name}: {codec.architecture}, training seed {codec.seed}")
    if gaps and max(gaps.values()) <= 0.0:
        axes.text(0.99, 0.95, "the gap never rises above 0", transform=axes.transAxes, ha="right")
    return figure


@style.picture
def similarity_figure(found: Similarity | None, name: str, split: str = "test") -> Figure:
    """Draw the cosines between prefixes: of right messages, and of right ones with donors'.

    Args:
        found: what was compared; a record of an attempt has only the means of it.
        name: whose prefixes they are, for the title.
        split: the episodes they are of.

    Raises:
        FigureError: there is nothing to draw.
    """
    if found is None or not found.right:
        raise style.FigureError(f"{name}: the evidence compares no prefixes")
    figure, (left, right) = _side_by_side(4.1)
    _matrix(left, found.right, f"right messages: {_mean(found.between)} off the diagonal")
    image = _matrix(right, found.donor, f"and donors': {_mean(found.own_donor)} to its own")
    left.set_ylabel(f"the first {len(found.seeds)} {split} episodes")
    left.set_xlabel("the same episodes")
    right.set_xlabel("their donors (the messages of shuffle)")
    bar = figure.colorbar(image, ax=[left, right], shrink=0.85)
    bar.set_label("cosine between prefixes")
    norm = f"a latent is {found.norm_ratio:.2f} times as long as an embedding"
    _set_title(figure, f"{name}: prefix similarity; {norm}")
    return figure


@style.picture
def reversals_figure(part: Mapping[str, Any], title: str) -> Figure:
    """Draw each episode's NLL with its own and another's message, and who reverses.

    Args:
        part: what `lpca diagnose` says of episodes.
        title: of the whole picture.

    Raises:
        FigureError: the part is incomplete.
    """
    figure, (left, right) = _side_by_side(3.8)
    _scatter(left, part["episodes"])
    _shares(right, part["reversed"])
    _set_title(figure, title)
    return figure


@style.picture
def noise_figure(part: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Draw success and NLL against the size of the noise.

    Args:
        part: what `lpca diagnose` says of each size.
        title: of the whole picture.

    Raises:
        FigureError: the part is incomplete.
    """
    figure, (left, right) = _side_by_side(2.8, 6.4)
    sizes = [one["size"] for one in part]
    left.plot(sizes, [one["successes"] / one["n"] for one in part], **_OWN)
    for one in part:
        style.draw_bar(left, one["size"], one["interval"], style.BLUE)
    right.plot(sizes, [one["nll"] for one in part], **_OWN)
    _success_and_nll(left, right)
    for axes in (left, right):
        axes.set_xlabel("noise / norm of the prefix")
    _set_title(figure, title)
    return figure


@style.picture
def scales_figure(sweep: Mapping[str, Any]) -> Figure:
    """Draw success and likelihood of the right answer against the scale of the prefix.

    Args:
        sweep: what `lpca diagnose` measured at each scale.

    Raises:
        FigureError: the sweep is incomplete.
    """
    figure = Figure(figsize=(6.4, 5.0), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes in (above, below):
        axes.axvline(1.0, color=style.FAINT, linewidth=0.8)
    n, measured, references = sweep["n"], sweep["scales"], sweep["references"]
    scales = [one["scale"] for one in measured]
    for name, how in STYLES.items():
        above.plot(scales, [one[name]["successes"] / n for one in measured], label=name, **how)
        for one in measured:
            style.draw_bar(above, one["scale"], one[name]["interval"], how["color"])
        below.plot(scales, [one[name]["nll"] for one in measured], label=name, **how)
    for name, dashes in REFERENCES.items():
        line: Any = {"color": style.MUTED, "linestyle": dashes, "linewidth": 1.0, "label": name}
        above.axhline(references[name]["successes"] / n, **line)
        below.axhline(references[name]["nll"], **line)
    _success_and_nll(above, below)
    below.set_xlabel("scale of the prefix (1: as the codec gives it, 0: zeros)")
    style.legend_below(below, 0.25, 4)
    style.set_title(
        above,
        f"{sweep['checkpoint']}, k = {sweep['k']}, receiver {sweep['receiver']['name']}",
        f"{n} validation episodes: not a verdict; confirm a scale on fresh seeds",
    )
    return figure


def _side_by_side(height: float, width: float = 8.0) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, 2)


def _set_title(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.01, ha="left", size=9)


def _success_and_nll(success: Axes, nll: Axes) -> None:
    success.set_ylim(*style.RATES)
    style.rate_ticks(success.yaxis)
    success.set_ylabel("success rate (likelihood)")
    nll.set_ylim(bottom=0.0)
    nll.set_ylabel("right answer's −log p, nats")


def _matrix(axes: Axes, cosines: Sequence[Sequence[float]], title: str) -> QuadMesh:
    image = axes.pcolormesh(cosines, cmap=COLOURS, vmin=-1.0, vmax=1.0, antialiased=False)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_title(title, size=8, color=style.MUTED, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    return image


def _mean(value: float | None) -> str:
    return "no pair" if value is None else f"mean {value:.2f}"


def _scatter(axes: Axes, episodes: Sequence[Mapping[str, Any]]) -> None:
    pairs = [(one["nll"]["normal"], one["nll"]["shuffle"], one["reversed"]) for one in episodes]
    most = 1.05 * max(0.1, *(nll for normal, shuffle, _ in pairs for nll in (normal, shuffle)))
    axes.plot([0, most], [0, most], color=style.FAINT, linewidth=1.0)
    for turned, colour, marker in ((False, style.BLUE, "o"), (True, style.VERMILLION, "x")):
        normals = [normal for normal, _, is_turned in pairs if is_turned == turned]
        shuffles = [shuffle for _, shuffle, is_turned in pairs if is_turned == turned]
        label = f"{'reversed' if turned else 'not reversed'}: {len(normals)}"
        look: Any = {"s": 14, "color": colour, "marker": marker, "linewidths": 1.0}
        axes.scatter(normals, shuffles, label=label, **look)
    axes.set_xlabel("−log p of the right answer, normal (nats)")
    axes.set_ylabel("the same, shuffle")
    axes.legend(loc="best")


def _shares(axes: Axes, found: Mapping[str, Any]) -> None:
    kinds = [(f"{name}: {one['kind']}", one) for name, own in found["by"].items() for one in own]
    rows = [("all", found), *kinds]
    for at, (_, one) in enumerate(rows):
        style.draw_span(axes, one["interval"], at, style.BLUE)
        axes.plot([one["reversed"] / one["n"]], [at], clip_on=False, zorder=4, **_OWN)
    axes.set_yticks(range(len(rows)), [f"{name} (n = {one['n']})" for name, one in rows])
    axes.axvline(found["reversed"] / found["n"], color=style.MUTED, linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    most = max(one["interval"][1] for _, one in rows)
    axes.set_xlim(0.0, min(1.02, max(0.05, 1.08 * most)))
    axes.xaxis.set_major_formatter(lambda share, _: amount(share, PERCENT))
    axes.set_xlabel("share reversed, with its interval")
