"""How pictures look: colours that survive colour blindness, marks that survive greyscale.

A figure gives the same bytes on any day and in any process, whatever the user's own settings. A
page of panels is measured in inches from its top: labels keep their size, the page grows.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from types import MappingProxyType
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from lpca.base.errors import RequestError
from lpca.evidence.model import Evidence
from lpca.gatespec.claims import ClaimError
from lpca.judge.outcomes import printable

Arguments = ParamSpec("Arguments")

INK, MUTED, FAINT, GROUND = "#1a1a1a", "#595959", "#bfbfbf", "#e8e8e8"
BLUE, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
"""From the palette of Okabe and Ito (2008)."""
FORMATS = ("svg", "pdf", "png")
PIXELS_PER_INCH = 150
WIDTH = 8.0
LEFT, RIGHT = 2.3, 2.05
"""Beside a panel: room for labels and for numbers."""
MARGIN = 0.2
LINE = 0.145
"""Height of a line of small text."""
PLOT = WIDTH - LEFT - RIGHT
RATES = (-0.02, 1.02)
"""The axis of a rate, with room for a mark at either end."""
GAP = 0.12
"""Between a panel and what stands beside it."""
_UNDATED: Mapping[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
_SETTINGS: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8.0,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "text.color": INK,
    "text.parse_math": False,  # a `$` in somebody's title is a dollar
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "svg.hashsalt": "lpca",
    "svg.fonttype": "path",  # letters as outlines look alike everywhere
    "pdf.fonttype": 42,
}


class FigureError(RequestError):
    """What was given to be drawn is incomplete or does not belong together."""


@dataclass(frozen=True)
class Mark:
    """How a verdict is drawn; shape and filling differ, not only the colour.

    A verdict without a reading has no `marker`: it is hatched and named.
    """

    colour: str
    marker: str = ""
    filled: bool = True
    meaning: str = ""


MARKS: Mapping[str, Mark] = {
    "PASS": Mark(GREEN, "o", meaning="shown"),
    "FAIL": Mark(VERMILLION, "X", meaning="contradicted"),
    "INCONCLUSIVE": Mark(BLUE, "D", filled=False, meaning="not decided by the data"),
    "INVALID": Mark(INK, meaning="must not be read"),
    "NOT MEASURED": Mark(MUTED, meaning="nothing to read"),
}


def picture(draw: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
    """Draw in lpca's own style, whatever the user's; say in one line what evidence lacks."""

    @wraps(draw)
    def drawn(*arguments: Arguments.args, **named: Arguments.kwargs) -> Figure:
        try:
            with styled():
                figure = draw(*arguments, **named)
                _make_printable(figure)
                return figure
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            what = " ".join(repr(error).split())[:200]
            raise FigureError(f"this evidence is incomplete or broken ({what})") from error
        except ClaimError as error:
            raise FigureError(f"this evidence holds a claim that is none: {error}") from error

    return drawn


def _make_printable(figure: Figure) -> None:
    """What cannot stand in a file of XML, or in any font, is spelled out."""
    for artist in figure.findobj(Text):
        assert isinstance(artist, Text)
        text = "\n".join(map(printable, artist.get_text().split("\n")))
        if text != artist.get_text():
            artist.set_text(text)


@contextmanager
def styled() -> Iterator[None]:
    """Settings for drawing and for writing; the user's are back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def render(figure: Figure, format: str) -> bytes:
    """A figure as a file's content.

    Args:
        figure: any figure; those of this package are drawn in lpca's style.
        format: one of FORMATS.

    Returns:
        The bytes, which hold neither a date nor the versions of what wrote them.

    Raises:
        FigureError: the format is another, or the figure's numbers or size are beyond it.
    """
    if format not in FORMATS:
        raise FigureError(f"format {format}: unknown; allowed: {', '.join(FORMATS)}")
    return _saved(figure, format)


def _saved(figure: Figure, format: str, settings: Any = MappingProxyType({})) -> bytes:
    buffer = BytesIO()
    try:
        with styled(), warnings.catch_warnings():
            matplotlib.rcParams.update(settings)
            # a title in a script that the font lacks: boxes are seen, a warning stops a strict run
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            undated = dict(_UNDATED[format])
            figure.savefig(buffer, format=format, dpi=PIXELS_PER_INCH, metadata=undated)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise FigureError(f"this cannot be drawn as {format} ({error})") from error
    return buffer.getvalue()


def svg_of_text(figure: Figure) -> str:
    """A figure as SVG for a page: its letters are text, without a ground of its own."""
    settings = {"svg.fonttype": "none", "savefig.transparent": True}
    return _saved(figure, "svg", settings).decode()


def svg(figure: Figure) -> bytes:
    """A figure as SVG."""
    return render(figure, "svg")


def draw_mark(axes: Axes, x: float, y: float, mark: Mark, size: float, **how: Any) -> None:
    """A verdict's mark; where it has none, a hollow square."""
    face = mark.colour if mark.filled and mark.marker else "white"
    look: Any = {"color": mark.colour, "markerfacecolor": face, "markersize": size, **how}
    axes.plot(x, y, mark.marker or "s", **look)


def draw_span(axes: Axes, ends: Sequence[float], at: float, colour: str, **how: Any) -> None:
    """A horizontal interval whose ends stand out above and below any mark that lies on it."""
    look: Any = {"color": colour, "linewidth": 1.4, "clip_on": False, "zorder": 3, **how}
    axes.plot(ends, [at, at], marker="|", markersize=7.5, markeredgewidth=1.2, **look)


def draw_bar(axes: Axes, x: float, ends: Sequence[float], colour: str) -> None:
    """A vertical interval, as `draw_span` draws a horizontal one."""
    look: Any = {"color": colour, "linewidth": 1.4, "clip_on": False, "zorder": 3}
    axes.plot([x, x], ends, marker="_", markersize=7.5, markeredgewidth=1.2, **look)


def rate_ticks(axis: Axis) -> None:
    """Ticks of a rate: each quarter, in per cent."""
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])


def set_title(axes: Axes, *lines: str) -> None:
    """A picture's title, to the left above its only or topmost plot."""
    axes.set_title("\n".join(lines), loc="left", size=9)


def legend_below(axes: Axes, distance: float, columns: int, *entries: Sequence[Any]) -> None:
    """A legend below a plot, `distance` of its height away; `entries` are handles and labels."""
    axes.legend(*entries, loc="upper center", bbox_to_anchor=(0.5, -distance), ncols=columns)


def name_of(evidence: Evidence) -> str:
    """The gate, its k and training seed."""
    parts = {"k": evidence.k, "seed": evidence.train_seed}
    told = [f"{name} = {value}" for name, value in parts.items() if value is not None]
    return ", ".join([evidence.gate, *told])


@dataclass(frozen=True)
class Block:
    """One panel: its height, room below it, and what draws it; y counts inches from its top.

    A `wide` block spans the page and x counts inches too; another one is a plot.
    """

    height: float
    draw: Callable[[Axes], None]
    below: float = 0.0
    wide: bool = False


def page(blocks: Sequence[Block]) -> Figure:
    """Put blocks below one another."""
    height = sum(block.height + block.below for block in blocks) + 2 * MARGIN
    figure = Figure(figsize=(WIDTH, height))
    top = MARGIN
    for block in blocks:
        left, width = (MARGIN, WIDTH - 2 * MARGIN) if block.wide else (LEFT, PLOT)
        bottom = height - top - block.height
        axes = figure.add_axes(
            (left / WIDTH, bottom / height, width / WIDTH, block.height / height)
        )
        axes.set_ylim(block.height, 0.0)
        axes.set_yticks([])
        if block.wide:
            axes.set_xlim(0.0, width)
            axes.set_axis_off()
        block.draw(axes)
        top += block.height + block.below
    return figure


def write_left(axes: Axes, y: float, text: str, **how: Any) -> None:
    """Write a plot's label to the left of it."""
    across = axes.get_yaxis_transform()
    axes.text(-GAP / PLOT, y, text, transform=across, ha="right", va="center", **how)


def write_right(axes: Axes, y: float, text: str, **how: Any) -> None:
    """Write to the right of a plot."""
    across = axes.get_yaxis_transform()
    axes.text(1 + GAP / PLOT, y, text, transform=across, ha="left", va="center", **how)


def wrapped(text: str, width: int, most: int) -> list[str]:
    """Text in lines of `width` characters, `most` of them; what is left out is marked.

    A_name_that_is_longer_than_a_line is broken after its underscores.
    """
    words = (word if len(word) <= width else word.replace("_", "_ ") for word in text.split())
    lines = textwrap.wrap(" ".join(words), width, max_lines=most, placeholder=" …")
    return [line.replace("_ ", "_") for line in lines]
