"""Text laid out for people: lines for a terminal, annotations for a pull request."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Literal

from lpca.gatespec.model import Position

WIDTH = 80
"""Columns that a report takes where there are as many."""
NARROWEST = 24
_UNIT = re.compile(r"(?<=\d) (?=%|points?\b)")


def fitting(columns: int) -> int:
    """The width of a report in a terminal of so many columns."""
    return max(NARROWEST, min(WIDTH, columns))


def wrapped(text: str, width: int, indent: int = 2, hang: int | None = None) -> list[str]:
    """Lines of at most `width`, the first indented by `indent`, the others by `hang`.

    A number stays with its unit. What is longer than a line is broken, never cut.
    """
    rest = " " * (indent if hang is None else hang)
    lines = textwrap.wrap(
        _UNIT.sub("\N{NO-BREAK SPACE}", " ".join(text.split())),
        width,
        initial_indent=" " * indent,
        subsequent_indent=rest,
        break_on_hyphens=False,
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Rows under their heads, the first column to the left, the others to the right.

    Where that is wider than `width`, each row becomes a sentence that names its cells.
    """
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    if 2 + sum(widths) + 2 * (len(widths) - 1) > width:
        return [line for row in rows for line in _stacked(heads, row, width)]
    return [_row(cells, widths) for cells in (heads, *rows)]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    numbers = [cell.rjust(size) for cell, size in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join(["", cells[0].ljust(widths[0]), *numbers])


def _stacked(heads: Sequence[str], row: Sequence[str], width: int) -> list[str]:
    named = zip(heads[1:], row[1:], strict=True)
    cells = ", ".join(f"{head} {cell}".strip() for head, cell in named)
    return wrapped(f"{row[0]}: {cells}", width, hang=4)


Level = Literal["error", "warning", "notice"]


def annotation(level: Level, position: Position, title: str, text: str) -> str:
    """Return the line that puts `text` at a place of a file; any text is safe in it."""
    place = f"file={_property(position.file)},line={position.line},col={position.column}"
    return f"::{level} {place},title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
