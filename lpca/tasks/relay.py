"""The task `relay`: A's message tells who, where and when; B is asked for one of the three."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from lpca.base.hashing import hash_data, named_rng
from lpca.gatespec.model import Answers
from lpca.tasks.base import (
    MAX_OPTIONS,
    MIN_OPTIONS,
    Episode,
    EpisodeSet,
    Split,
    Stratum,
    TaskError,
    ToldEpisode,
    episode_seed,
    in_turn,
    only_options,
)
from lpca.tasks.draws import (
    SHARES,
    balanced,
    cycle_of,
    hash_order,
    least_used,
    listed,
    others,
    own_share,
)
from lpca.tasks.trip import city_names

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
LIST_LEADS: Mapping[str, str] = MappingProxyType(
    {
        "who": "Candidate people: ",
        "where": "Candidate cities: ",
        "when": "Candidate dates: ",
    }
)
AFTERS: Mapping[str, str] = MappingProxyType(
    {
        "who": "\nQuestion: Who is it about?\nAnswer: It is about",
        "where": "\nQuestion: In which city is it?\nAnswer: It is in",
        "when": "\nQuestion: On which date is it?\nAnswer: It is on",
    }
)
FACTS = tuple(LIST_LEADS)
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
DAYS = range(10, 29)
"""Of two digits and in every month: no date contains another."""
SEEN: Mapping[str, int] = MappingProxyType({"who": 150, "when": 150})
HELD_OUT_FOR_VALIDATION = 20


@dataclass(frozen=True)
class Relay:
    """Who, where and when in each message; `options` of the asked kind are in B's prompt.

    Which of the three is asked stands in B's prompt alone: A has to send them all. Unseen facts
    are held out, all three of a message: for validation and for test apart. No message is shared
    between splits: of the pairs of three seen facts and a training wording each split has its own.
    """

    options: int = 4
    name = "relay"
    writes_prompts = True

    def __post_init__(self) -> None:
        whole = isinstance(self.options, int) and not isinstance(self.options, bool)
        if not whole or not MIN_OPTIONS <= self.options <= MAX_OPTIONS:
            raise TaskError(
                f"task relay: options is {self.options!r}; allowed: a whole number from "
                f"{MIN_OPTIONS} to {MAX_OPTIONS}",
                "options",
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, int | float | str | bool]) -> Relay:
        """Build from a spec's `task:` entries; raises TaskError on an unknown or wrong one."""
        only_options(cls.name, settings)
        return cls(**settings)  # type: ignore[arg-type]

    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """Return n episodes; for `all`, seen and unseen facts in turn, donors never across.

        Raises TaskError where a stratum has fewer than 2.
        """
        if answers != "all":
            return self._stratum(split, answers, n, seed)
        return in_turn(
            self._stratum(split, "seen", n - n // 2, seed),
            self._stratum(split, "unseen", n // 2, seed),
        )

    def _stratum(self, split: Split, stratum: Stratum, n: int, seed: int) -> EpisodeSet:
        """The asked facts take turns; an episode's donor is the next one that asks the same.

        Its answer is one of the episode's options, so that its message contradicts the right
        answer. Per asked fact each name is an answer once before any is twice, and the right
        option's position is balanced.
        """
        if n < 2:
            raise TaskError(f"{n} episode cannot be shuffled: a derangement needs at least 2")
        rng = named_rng("relay", split, stratum, seed, self.options, n)
        turns = FACTS[: min(len(FACTS), n // 2)]
        groups = [range(turn, n, len(turns)) for turn in range(len(turns))]
        told: dict[int, Mapping[str, str]] = {}
        positions: dict[int, int] = {}
        donors: dict[int, int] = {}
        for group in groups:
            count = len(group)
            columns = {
                fact: cycle_of(fact_names(fact, split, stratum), count, rng) for fact in FACTS
            }
            first = len(positions)
            places = balanced([(first + i) % self.options for i in range(count)], count, rng)
            for i, index in enumerate(group):
                told[index] = {fact: columns[fact][i] for fact in FACTS}
                positions[index] = places[i]
                donors[index] = group[(i + 1) % count]
        wordings = least_used([_wordings(split, stratum, told[i]) for i in range(n)], rng)
        episodes = []
        for i in range(n):
            asked = turns[i % len(turns)]
            names = fact_names(asked, split, stratum)
            wrong = [told[donors[i]][asked]]
            wrong += others(names, {told[i][asked], *wrong}, self.options - 2, rng)
            rng.shuffle(wrong)
            own_seed = episode_seed(split, stratum, seed, i)
            episodes.append(
                self._episode(
                    own_seed, split, stratum, wordings[i], told[i], asked, wrong, positions[i]
                )
            )
        return EpisodeSet(tuple(episodes), tuple(donors[i] for i in range(n)))

    def training_batch(self, step: int, size: int, seed: int) -> Sequence[Episode]:
        """Return `size` fresh episodes; each asks for any of its facts."""
        rng = named_rng("relay", "train", seed, step, self.options)
        columns = {fact: cycle_of(fact_names(fact, "train", "seen"), size, rng) for fact in FACTS}
        batch = []
        for i in range(size):
            told, asked = {fact: columns[fact][i] for fact in FACTS}, rng.choice(FACTS)
            names = fact_names(asked, "train", "seen")
            wrong = others(names, {told[asked]}, self.options - 1, rng)
            own_seed = episode_seed("train", "seen", seed, step * size + i)
            wording = rng.choice(_wordings("train", "seen", told))
            position = rng.randrange(self.options)
            batch.append(
                self._episode(own_seed, "train", "seen", wording, told, asked, wrong, position)
            )
        return batch

    def training_hash(self) -> str:
        """Return a hash of names, wordings, prompts and number of options as training uses them."""
        names = [fact_names(fact, "train", "seen") for fact in FACTS]
        prompts = [dict(LIST_LEADS), dict(AFTERS)]
        return hash_data([names, TRAIN_WORDINGS, SHARES["train"], prompts, self.options])

    def contents(self) -> Mapping[str, str]:
        """No setting names a file."""
        return {}

    def outside(self, episode: Episode) -> tuple[str, ...]:
        """Return the texts before the options list, behind it, and behind the slot."""
        listed = ", ".join(episode.options)
        lead = next(one for one in LIST_LEADS.values() if episode.before.startswith(one + listed))
        return lead, episode.before[len(lead) + len(listed) :], episode.after

    def _episode(
        self,
        seed: int,
        split: Split,
        stratum: Stratum,
        wording: str,
        told: Mapping[str, str],
        asked: str,
        wrong: Sequence[str],
        position: int,
    ) -> ToldEpisode:
        options = [*wrong[:position], told[asked], *wrong[position:]]
        rest = [other for other in _wordings(split, stratum, told) if other != wording]
        rewording = named_rng("relay", "paraphrase", seed).choice(rest)
        return ToldEpisode(
            seed=seed,
            stratum=stratum,
            wording=wording,
            message=wording.format(**told),
            before=f"{LIST_LEADS[asked]}{', '.join(options)}.",
            after=AFTERS[asked],
            options=tuple(options),
            answer=position,
            paraphrase=rewording.format(**told),
            facts=tuple(told.items()),
        )


def fact_names(fact: str, split: Split, stratum: Stratum) -> tuple[str, ...]:
    """Return what a fact may be; training has no unseen ones (TaskError)."""
    if fact == "where":
        return city_names(split, stratum)
    names, seen = _shuffled(fact), SEEN[fact]
    if stratum == "seen":
        return names[:seen]
    if split == "train":
        raise TaskError("training has no unseen answers")
    held_out = names[seen:]
    cut = HELD_OUT_FOR_VALIDATION
    return held_out[:cut] if split == "validation" else held_out[cut:]


@cache
def _shuffled(fact: str) -> tuple[str, ...]:
    if fact == "when":
        names = [f"{month} {day}" for month in MONTHS for day in DAYS]
    else:
        names = listed("people.txt")
    return hash_order(names)


def _wordings(split: Split, stratum: Stratum, told: Mapping[str, str]) -> tuple[str, ...]:
    """The wordings in which a split's messages may tell three facts."""
    extra = {"train": (), "validation": VALIDATION_WORDINGS, "test": TEST_WORDINGS}[split]
    if stratum == "unseen":
        return TRAIN_WORDINGS + extra
    digest = hashlib.sha256("\n".join(told[fact] for fact in FACTS).encode()).digest()
    return (*own_share(TRAIN_WORDINGS, split, digest[0]), *extra)
