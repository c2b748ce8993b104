"""Where answers stand in a text, as whole words, whatever the case."""

from __future__ import annotations

import re
from collections.abc import Sequence


def stands_in(answer: str, text: str) -> bool:
    """Whether an answer stands in a text as whole words."""
    if answer.casefold() not in text.casefold():
        return False
    return _pattern([answer]).search(text) is not None


def places_of(options: Sequence[str], text: str) -> list[tuple[int, int, int]]:
    """Where options stand in a text: start, end and which; within a longer one none counts."""
    names = {option.casefold(): index for index, option in enumerate(options)}
    return [
        (*found.span(), names[found.group().casefold()])
        for found in _pattern(options).finditer(text)
        if found.group().casefold() in names
    ]


def without_lists(options: Sequence[str], text: str) -> tuple[str, ...] | None:
    """Return what is left around every list of all options in a text; None without one.

    A list is the shortest stretch that holds every option, however it is written.
    """
    places = places_of(options, text)
    stretch = _shortest(places, len(options))
    if stretch is None:
        return None
    start, stop = stretch
    found: list[str] = []
    for part in (text[:start], text[stop:]):
        found += without_lists(options, part) or (part,)
    return tuple(found)


def _shortest(places: Sequence[tuple[int, int, int]], count: int) -> tuple[int, int] | None:
    best: tuple[int, int] | None = None
    last: dict[int, int] = {}
    for start, stop, which in places:
        last[which] = start
        if len(last) == count:
            first = min(last.values())
            if best is None or stop - first < best[1] - best[0]:
                best = (first, stop)
    return best


def _pattern(options: Sequence[str]) -> re.Pattern[str]:
    """Of options none begins another, so that the leftmost one is the longest."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, options))})(?!\w)", re.IGNORECASE)
