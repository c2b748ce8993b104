"""Finding a break again in a tree that was rewritten."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

from breaks_code import Break, Candidate, Place, files_of, find, source_of


@cache
def words(text: str) -> tuple[str, ...]:
    """The tokens of a piece of code, without its layout."""
    return tuple(re.findall(r"\w+|[^\w\s]+", text))


def alike(one: str, other: str) -> float:
    """How much of two pieces of code agrees, 0 to 1."""
    return difflib.SequenceMatcher(None, words(one), words(other), autojunk=False).ratio()


def locate(breaks: list[Break], old: Path, new: Path) -> list[Break]:
    """Give each break its likeliest place in the new tree; a note says how alike it is, up to 1.

    A break is looked for from its place of now, where it has one: a long way is better gone in
    short steps, commit by commit.
    """
    pool: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for file in files_of(new):
        for one in source_of(new, file).candidates:
            pool[one.kind, one.change].append(one)
    return [_located(b, pool[b.kind, b.change], old, new) for b in breaks]


def _located(b: Break, pool: list[Candidate], old: Path, new: Path) -> Break:
    was = b.now or b.first
    if any(one.place == was for one in pool) or not _has(old, was):
        return b
    name, module = was.function.split(".")[-1], was.file.split("/")[-1]
    mine, function = set(words(was.statement)), _function_text(old, find(old, was))

    def near(one: Candidate) -> float:
        place, theirs = one.place, set(words(one.place.statement))
        same_name = name == place.function.split(".")[-1]
        same_file = (module == place.file.split("/")[-1]) + (place.file == was.file)
        return len(mine & theirs) / len(mine | theirs) + 0.3 * same_name + 0.1 * same_file

    def likeness(one: Candidate) -> float:
        place = one.place
        return (
            0.3 * alike(place.statement, was.statement)
            + 0.3 * alike(place.before, was.before)
            + 0.3 * alike(_function_text(new, one), function)
            + 0.1 * (name == place.function.split(".")[-1])
        )

    def order(one: Candidate) -> tuple[float, int, bool]:
        closeness = -abs(one.place.occurrence - was.occurrence)
        return round(likeness(one), 2), closeness, one.place.file == was.file

    best = max(sorted(pool, key=near)[-60:], key=order, default=None)
    if best is None:
        return replace(b, note="not found")
    return b if best.place == b.now else replace(b, now=best.place, note=f"{likeness(best):.2f}")


def _has(tree: Path, place: Place) -> bool:
    try:
        find(tree, place)
    except (LookupError, OSError):
        return False
    return True


def _function_text(tree: Path, one: Candidate) -> str:
    lines = source_of(tree, one.place.file).data.decode().splitlines()
    around = one.function_lines or range(one.lines.start - 3, one.lines.stop + 3)
    return "\n".join(lines[max(0, around.start - 1) : around.stop - 1])
