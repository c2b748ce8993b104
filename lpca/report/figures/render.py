"""Figures to files: the same figure gives the same bytes, on any day and in any process."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType

from matplotlib.figure import Figure

from lpca.report.figures.style import FigureError, styled

FORMATS = ("svg", "pdf", "png")
PIXELS_PER_INCH = 150
_UNDATED: Mapping[str, Mapping[str, None]] = MappingProxyType(
    {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Software": None},
    }
)


def render(figure: Figure, format: str) -> bytes:
    """A figure in one of FORMATS.

    Raises:
        FigureError: the format is another, or the figure's numbers or size are beyond it.
    """
    if format not in FORMATS:
        raise FigureError(f"format {format}: unknown; allowed: {', '.join(FORMATS)}")
    buffer = BytesIO()
    try:
        with styled(), warnings.catch_warnings():
            # a title in a script that the font lacks: boxes are seen, a warning stops a strict run
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            undated = dict(_UNDATED[format])
            figure.savefig(buffer, format=format, dpi=PIXELS_PER_INCH, metadata=undated)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise FigureError(f"this cannot be drawn as {format} ({error})") from error
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """A figure as SVG, its letters as outlines: it looks alike everywhere."""
    return render(figure, "svg")
