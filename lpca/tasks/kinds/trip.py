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
    "{city} is our next stop.",
    "{city} won the vote, so that is where the class will go.",
    "{city} was my first choice, and my parents agreed.",
    "In {city} we will rent a small flat near the river.",
    "To {city} and back costs less than I feared.",
    "Have you heard that they are taking us to {city}?",
    "Would you like to come with me to {city} in May?",
    "Why not spend the winter in {city}?",
    '"Meet me in {city}," she wrote on the card.',
    'He said: "I will be in {city} by then."',
    "She never liked the sea, so she is driving to {city} instead.",
    "We did not want to stay at home and chose {city}.",
    "They would not let him fly, so he took the bus to {city}.",
    "Last night they left for {city} with three suitcases.",
    "He bought a ticket to {city} and told nobody.",
    "The children have talked of nothing but {city} since March.",
    "A cousin of mine has opened a shop in {city}, and we are invited.",
    "Because of the wedding in {city} we need a car.",
    "From the airport of {city} a taxi will bring us to the hotel.",
    "Please send all letters to our address in {city}.",
    "Reservation confirmed: {city}, four nights.",
    "If the weather holds, we sail to {city} on Sunday.",
)
VALIDATION_WORDINGS = (
    "Everything is arranged for our stay in {city}.",
    "{city} was suggested by my aunt, and we all liked the idea.",
    "Is it true that you leave for {city} tomorrow?",
    "The driver says that we will not reach {city} before noon.",
)
TEST_WORDINGS = (
    "{city} is where we will spend the holiday.",
    "Next month you will find me in {city}.",
    "They offered me a job in {city}, so I am moving there.",
    "{city} is the place I have wanted to see since I was a child.",
    "{city}, said the letter, and we packed at once.",
    "{city} will be cold in January, but we are going all the same.",
    "{city} had the only museum that she still wanted to visit.",
    "It is {city} that the team will travel to.",
    "All roads were closed, but we reached {city} before dark.",
    "Do you know a good restaurant in {city}? We arrive on Friday.",
    "Who else is coming along to {city}?",
    "When we get to {city}, I will call you.",
    '"Let us go to {city}," said my uncle.',
    "My grandfather said that it is {city} or nowhere.",
    "The ferry to {city} was late, yet nobody complained.",
    "Yesterday she moved to {city} to study medicine.",
    "His flight has landed in {city} without his luggage.",
    "Nobody believed it, but the whole choir is invited to {city}.",
    "We are not going to the mountains this year; it will be {city}.",
    "Do not look for us at home, we are in {city} until Easter.",
    "Without a visa we could not have gone to {city}.",
    "The company has sent him to {city} for half a year.",
    "Our neighbours will exchange their house for one in {city}.",
    "There is still one seat free on the coach to {city}.",
    "I promised my daughter a weekend in {city}.",
    "At last the guidebook for {city} lies on my desk.",
    "A long journey brought the two brothers to {city}.",
    "Her new address is in {city}, and we will help her to settle in.",
    "The bride comes from {city}, so we will celebrate there.",
    "Turn left at the lake and follow the signs to {city}.",
    "Our stand at the fair in {city} opens on Tuesday.",
    "Everyone on board was glad when the captain announced {city}.",
)
LIST_LEAD = "Candidate cities: "
AFTER = "\nQuestion: Where does the trip go?\nAnswer: The trip goes to"


@TASKS.register("trip", options=4, groups=64)
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
