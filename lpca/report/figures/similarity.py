"""How alike the prefixes of different messages are."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from lpca.evidence import Similarity
from lpca.report.figures.style import MUTED, FigureError, picture

COLOURS = "cividis"
"""Even in lightness, so that grey reads the same."""


@picture
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
        raise FigureError(f"{name}: the evidence compares no prefixes")
    figure = Figure(figsize=(8.0, 4.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    count = len(found.seeds)
    _matrix(left, found.right, f"right messages: {_mean(found.between)} off the diagonal")
    image = _matrix(right, found.donor, f"and donors': {_mean(found.own_donor)} to its own")
    left.set_ylabel(f"the first {count} {split} episodes")
    left.set_xlabel("the same episodes")
    right.set_xlabel("their donors (the messages of shuffle)")
    bar = figure.colorbar(image, ax=[left, right], shrink=0.85)
    bar.set_label("cosine between prefixes")
    norm = f"a latent is {found.norm_ratio:.2f} times as long as an embedding"
    figure.suptitle(f"{name}: prefix similarity; {norm}", x=0.01, ha="left", size=9)
    return figure


def _matrix(axes: Axes, cosines: Sequence[Sequence[float]], title: str) -> QuadMesh:
    image = axes.pcolormesh(cosines, cmap=COLOURS, vmin=-1.0, vmax=1.0, antialiased=False)
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.set_title(title, size=8, color=MUTED, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    return image


def _mean(value: float | None) -> str:
    return "no pair" if value is None else f"mean {value:.2f}"
