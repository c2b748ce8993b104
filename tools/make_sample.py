"""Write `lpca/templates/episodes.jsonl`: the sample that `lpca init` puts into a project.

Run `python tools/make_sample.py`. The prompts are those of the task `trip`, which the stub receiver
reads. The cities come in fours, which are each other's wrong options: so every message has others
that contradict it. Every city is as often right, and in every place.
"""

from __future__ import annotations

import json
from pathlib import Path

from lpca.base.hashing import named_rng
from lpca.tasks.kinds.trip import AFTER, LIST_LEAD, city_names

TARGET = Path(__file__).parents[1] / "lpca" / "templates" / "episodes.jsonl"
FOURS, OPTIONS = 10, 4
LETTERS = range(4, 9)
WORDINGS = (
    "Everything is packed, and on Monday we leave for {city}.",
    "After a long talk we have all agreed on {city}.",
    "The cheapest tickets that I could find were for {city}.",
    "Please send my letters on, I shall be in {city}.",
    "My sister has found a flat for us in {city}.",
    "We wanted the sea, so we have taken {city}.",
    "The ship leaves at noon and calls first at {city}.",
    "No more rain for us: the whole of May in {city}.",
    "The firm needs somebody for half a year in {city}.",
    "You will not guess it, but they want to see {city}.",
    "Tell the others that we shall meet in {city}.",
    "The map is bought, and the hotel is booked in {city}.",
)


def rows() -> list[dict[str, object]]:
    """Every city in every wording, shuffled."""
    rng = named_rng("sample", 0)
    cities = [c for c in city_names("train", "seen") if c.isalpha() and len(c) in LETTERS]
    found = []
    for turn, wording in enumerate(WORDINGS):
        for index in range(FOURS * OPTIONS):
            four = index - index % OPTIONS
            city = cities[index]
            options = [one for one in cities[four : four + OPTIONS] if one != city]
            rng.shuffle(options)
            options.insert((index + turn) % OPTIONS, city)
            found.append(
                {
                    "message": wording.format(city=city),
                    "context": f"{LIST_LEAD}{', '.join(options)}.{{message}}{AFTER}",
                    "answer": city,
                    "options": options,
                }
            )
    rng.shuffle(found)
    return found


def main() -> None:
    """Write the file."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows()]
    TARGET.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
