"""The task `trip`: A's message names a city; B must say which of the listed cities it is."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

from lpca.base.hashing import hash_data
from lpca.tasks import TASKS, Split, Stratum
from lpca.tasks.option_lists import SHARES, OptionListTask, Told, hash_order, listed, part_of

TRAIN_NAMES, VALIDATION_NAMES = 560, 40
TRAIN_WORDINGS = (
    "I have booked the trip to {city}.",
    "We are flying to {city} next week.",
    "The tickets for {city} arrived today.",
    "My sister lives in {city} and I will visit her.",
    "Our hotel in {city} is reserved.",
    "The conference takes place in {city} this year.",
    "Pack your bags, we are going to {city}!",
    "Two weeks in {city} are paid for.",
    "The train to {city} leaves at nine.",
    "I finally decided: {city} it is.",
)
VALIDATION_WORDINGS = ("Everything is arranged for our stay in {city}.",)
TEST_WORDINGS = (
    "{city} is where we will spend the holiday.",
    "Next month you will find me in {city}.",
    "They offered me a job in {city}, so I am moving there.",
)
LIST_LEAD = "Candidate cities: "
AFTER = "\nQuestion: Where does the trip go?\nAnswer: The trip goes to"


@TASKS.register("trip")
class Trip(OptionListTask):
    """Cities as answers; `options` of them are listed in B's prompt, one of them right.

    Example:
        >>> trip = Trip(options=4)
        >>> episodes = trip.evaluation_set("test", "seen", n=8, seed=0)
        >>> len(episodes), len(episodes.episodes[0].options)
        (8, 4)
    """

    name = "trip"
    leads: ClassVar[Mapping[str, str]] = {"city": LIST_LEAD}
    afters: ClassVar[Mapping[str, str]] = {"city": AFTER}
    wordings: ClassVar[Mapping[Split, tuple[str, ...]]] = {
        "train": TRAIN_WORDINGS,
        "validation": VALIDATION_WORDINGS,
        "test": TEST_WORDINGS,
    }

    def values(self, fact: str, split: Split, stratum: Stratum) -> tuple[str, ...]:
        """Return the cities that may be answers."""
        return city_names(split, stratum)

    def shift(self, told: Told) -> int:
        """Return the city's place among all."""
        return _places()[told["city"]]

    def training_hash(self) -> str:
        """Return a hash of names, wordings, prompt and number of options as training uses them."""
        prompt = [self.leads["city"], self.afters["city"], self.options]
        names = city_names("train", "seen")
        return hash_data([names, self.wordings["train"], SHARES["train"], *prompt])


def city_names(split: Split, stratum: Stratum) -> tuple[str, ...]:
    """Return the names that may be answers; training has no unseen ones (TaskError)."""
    return part_of(tuple(_places()), TRAIN_NAMES, VALIDATION_NAMES, split, stratum)


@cache
def _places() -> Mapping[str, int]:
    return {name: place for place, name in enumerate(hash_order(listed("cities.txt")))}
