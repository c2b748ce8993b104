"""Draw the rooms of lpca from its imports (docs/images/rooms.svg) and list them (CONTRIBUTING.md).

    python tools/draw_rooms.py

A room is a folder of lpca, or a module at its root; it stands above every room that it imports. An
arrow is drawn where no way over other rooms says the same. What a room is for is the first line of
its docstring.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lpca"
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
PAGE = ROOT / "CONTRIBUTING.md"
LEFT_OUT = ("__init__", "__main__", "templates")
WIDTH, HEIGHT, ACROSS, DOWN, EDGE = 168, 66, 26, 50, 16
_TABLE = re.compile(r"(<!-- rooms -->\n).*?(<!-- end -->)", re.S)


@cache
def imports() -> dict[str, set[str]]:
    """The rooms that each room imports, at the top of a module or within a function."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if room not in LEFT_OUT:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found.setdefault(room, set()).update(set(_imported(tree)) - {room, *LEFT_OUT})
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{one.name}" for one in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("lpca."))


def levels(below: Mapping[str, set[str]]) -> dict[str, int]:
    """The height of each room: one above the highest that it imports; CycleError for a circle."""
    height: dict[str, int] = {}
    for room in TopologicalSorter(below).static_order():
        height[room] = 1 + max((height[one] for one in below[room]), default=-1)
    return height


def arrows(below: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """What each room imports, without what it reaches over another of them."""
    reached: dict[str, set[str]] = {}
    for room in TopologicalSorter(below).static_order():
        reached[room] = below[room].union(*(reached[one] for one in below[room]))
    return {
        room: {one for one in under if not any(one in reached[other] for other in under)}
        for room, under in below.items()
    }


Bend = tuple[str, str]
"""Where an arrow passes a row on its way down: from this room to that one."""


def rows(below: Mapping[str, set[str]]) -> list[list[str | Bend]]:
    """What stands in each row from the top: rooms, and between them the arrows that pass by.

    Each stands near what it has arrows from, so that few of them cross.
    """
    height = levels(below)
    passing = [(room, one) for room, under in arrows(below).items() for one in sorted(under)]
    place: dict[str | Bend, float] = {}
    found = []
    for level in range(max(height.values()), -1, -1):
        here: list[str | Bend] = [room for room in height if height[room] == level]
        here += [(room, one) for room, one in passing if height[room] > level > height[one]]
        from_above = {
            one: [_above(arrow, place) for arrow in passing if one in (arrow, arrow[1])]
            for one in here
        }
        here.sort(key=lambda one: (_mean(from_above[one]), str(one)))
        place |= {one: index - (len(here) - 1) / 2 for index, one in enumerate(here)}
        found.append(here)
    return found


def _above(arrow: Bend, place: Mapping[str | Bend, float]) -> float:
    """Where an arrow comes from in the rows above: its last bend, else its room."""
    return place.get(arrow, place.get(arrow[0], 0.0))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def purpose(room: str) -> str:
    """The first line of a room's docstring."""
    path = PACKAGE / room / "__init__.py"
    source = (path if path.is_file() else PACKAGE / f"{room}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def picture() -> str:
    """The picture as SVG."""
    below = imports()
    stacked = rows(below)
    widths = [[_width(one) + ACROSS for one in row] for row in stacked]
    wide = max(map(sum, widths)) - ACROSS + 2 * EDGE
    high = len(stacked) * (HEIGHT + DOWN) - DOWN + 2 * EDGE
    middle: dict[str | Bend, list[tuple[float, float]]] = {}
    for level, row in enumerate(stacked):
        x = (wide - sum(widths[level]) + ACROSS) / 2
        for one in row:
            y = EDGE + level * (HEIGHT + DOWN)
            middle.setdefault(one, []).append((x + _width(one) / 2, y))
            x += _width(one) + ACROSS
    ways = [(room, one) for room, under in arrows(below).items() for one in sorted(under)]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" font-family="DejaVu Sans, Arial, sans-serif">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#667"/></marker></defs>',
        f'<rect width="{wide}" height="{high}" fill="#fff"/>',
        *(_arrow([*middle[way[0]], *middle.get(way, []), *middle[way[1]]]) for way in ways),
        *(line for room in below for line in _box(room, *middle[room][0])),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _width(one: str | Bend) -> float:
    return WIDTH if isinstance(one, str) else 0


def _arrow(way: Sequence[tuple[float, float]]) -> str:
    """An arrow from the first box through the gaps of the rows between to the last box."""
    (x, top), bend = way[0], DOWN * 0.7
    y = top + HEIGHT
    path = [f"M{x:g} {y:g}"]
    for to, bottom in way[1:]:
        path.append(f"C{x:g} {y + bend:g} {to:g} {bottom - bend:g} {to:g} {bottom:g}")
        x, y = to, bottom + HEIGHT
        if (to, bottom) != way[-1]:
            path.append(f"L{x:g} {y:g}")
    return (
        f'<path d="{" ".join(path)}" fill="none" stroke="#667" stroke-width="1.4" '
        'marker-end="url(#head)"/>'
    )


def _box(room: str, middle: float, y: float) -> Iterator[str]:
    yield (
        f'<rect x="{middle - WIDTH / 2:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
        'fill="#eef2fb" stroke="#3949ab"/>'
    )
    yield (
        f'<text x="{middle:g}" y="{y + 18:g}" text-anchor="middle" font-size="14" '
        f'font-weight="bold">{escape(room)}</text>'
    )
    said = textwrap.wrap(purpose(room).rstrip("."), 31, max_lines=3, placeholder=" ...")
    for number, text in enumerate(said):
        yield (
            f'<text x="{middle:g}" y="{y + 33 + 12 * number:g}" text-anchor="middle" '
            f'font-size="9.5">{escape(text)}</text>'
        )


def layers() -> list[str]:
    """The rooms from the roof to the ground, as import-linter is told to keep them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    [layered] = [
        one for one in settings["tool"]["importlinter"]["contracts"] if one["type"] == "layers"
    ]
    return [room for layer in layered["layers"] for room in re.findall(r"\w+", layer)]


def with_rooms(page: str) -> str:
    """A page with the table of rooms as the code has them, in the order of the layers."""
    cells = [f"| `{room}` | {purpose(room)} |" for room in sorted(imports(), key=layers().index)]
    table = "\n".join(["| room | what it is |", "|---|---|", *cells])
    return _TABLE.sub(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", page)


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
    PAGE.write_text(with_rooms(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
