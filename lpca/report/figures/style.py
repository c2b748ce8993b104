"""How pictures look: colours that survive colour blindness, marks that survive greyscale."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import MappingProxyType
from typing import Any, ParamSpec

import matplotlib
from matplotlib.figure import Figure
from matplotlib.text import Text

from lpca.base.errors import RequestError
from lpca.gatespec.claims import ClaimError
from lpca.judge.outcomes import printable

Arguments = ParamSpec("Arguments")

INK, MUTED, FAINT, GROUND = "#1a1a1a", "#595959", "#bfbfbf", "#e8e8e8"
BLUE, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
"""From the palette of Okabe and Ito (2008)."""

_SETTINGS: Any = MappingProxyType(
    {
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
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
    }
)


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


MARKS: Mapping[str, Mark] = MappingProxyType(
    {
        "PASS": Mark(GREEN, "o", meaning="shown"),
        "FAIL": Mark(VERMILLION, "X", meaning="contradicted"),
        "INCONCLUSIVE": Mark(BLUE, "D", filled=False, meaning="not decided by the data"),
        "INVALID": Mark(INK, meaning="must not be read"),
        "NOT MEASURED": Mark(MUTED, meaning="nothing to read"),
    }
)


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
    for one in figure.findobj(Text):
        assert isinstance(one, Text)
        text = "\n".join(map(printable, one.get_text().split("\n")))
        if text != one.get_text():
            one.set_text(text)


@contextmanager
def styled() -> Iterator[None]:
    """Settings for drawing and for writing; the user's are back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield
