"""The task `relay`: A's message tells who, where and when; B is asked for one of the three."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from lpca.base.hashing import hash_data
from lpca.tasks import TASKS, Split, Stratum, ToldEpisode
from lpca.tasks.kinds.trip import city_names
from lpca.tasks.option_lists import SHARES, OptionListTask, Told, hash_order, listed, part_of

TRAIN_WORDINGS = (
    "{who} is taking the early train to {where} for the yearly meeting on {when}.",
    "The hotel in {where} has kept a quiet room for {who} for the night of {when}.",
    "On {when} there will be a long talk by {who} at the university of {where}.",
    "Please do not forget that {who} lands in {where} late in the evening of {when}.",
    "After many letters we agreed that {when} suits {who} best for the visit to {where}.",
    "In {where} the new office opens on {when}, and {who} will hold the keys.",
    "The concert on {when} is sold out, but {who} still has a seat for us in {where}.",
    "From {where} comes the news that the wedding of {who} is to be on {when}.",
    "{when} is the day on which {who} moves to {where} with two cats and a piano.",
    "We are glad to tell you that {who} won the race in {where} on {when}.",
)
VALIDATION_WORDINGS = (
    "The museum in {where} shows the paintings of {who} to the public from {when} on.",
)
TEST_WORDINGS = (
    "A parcel for {who} has to be collected at the station of {where} by {when}.",
    "Write it down: {when}, the lecture hall in {where}, and the speaker is {who}.",
    "My cousin {who} signs the contract for the house in {where} on {when}.",
)
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
DAYS = range(10, 29)
"""Of two digits and in every month: no date contains another."""
SEEN, HELD_OUT_FOR_VALIDATION = 150, 20
"""Of people, and of dates."""


@TASKS.register("relay", options=4)
class Relay(OptionListTask):
    """Who, where and when in each message; `options` of the asked kind are in B's prompt.

    Which of the three is asked stands in B's prompt alone: A has to send them all. Unseen facts
    are held out all three of a message.
    """

    name = "relay"
    leads: ClassVar[Mapping[str, str]] = {
        "who": "Candidate people: ",
        "where": "Candidate cities: ",
        "when": "Candidate dates: ",
    }
    afters: ClassVar[Mapping[str, str]] = {
        "who": "\nQuestion: Who is it about?\nAnswer: It is about",
        "where": "\nQuestion: In which city is it?\nAnswer: It is in",
        "when": "\nQuestion: On which date is it?\nAnswer: It is on",
    }
    wordings: ClassVar[Mapping[Split, tuple[str, ...]]] = {
        "train": TRAIN_WORDINGS,
        "validation": VALIDATION_WORDINGS,
        "test": TEST_WORDINGS,
    }
    tells_facts = True

    def values(self, fact: str, split: Split, stratum: Stratum) -> tuple[str, ...]:
        """Return the people, cities or dates that a stratum has; none of training's are unseen."""
        if fact == "where":
            return city_names(split, stratum)
        return part_of(_shuffled(fact), SEEN, HELD_OUT_FOR_VALIDATION, split, stratum)

    def shift(self, told: Told) -> int:
        """Return a byte of the facts' SHA-256."""
        return hashlib.sha256("\n".join(told[fact] for fact in self.leads).encode()).digest()[0]

    def make(self, told: Told, **fields: Any) -> ToldEpisode:
        """Return an episode that knows what its message tells."""
        return ToldEpisode(facts=tuple(told.items()), **fields)

    def training_hash(self) -> str:
        """Return a hash of names, wordings, prompts and number of options as training uses them."""
        names = [self.values(fact, "train", "seen") for fact in self.leads]
        prompts = [dict(self.leads), dict(self.afters)]
        return hash_data([names, self.wordings["train"], SHARES["train"], prompts, self.options])


@cache
def _shuffled(fact: str) -> tuple[str, ...]:
    if fact == "when":
        return hash_order(f"{month} {day}" for month in MONTHS for day in DAYS)
    return hash_order(listed("people.txt"))
