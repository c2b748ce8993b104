"""Tasks whose messages tell facts, and whose prompts list what the asked fact may be."""

from __future__ import annotations

import hashlib
import random
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, ClassVar, Self

from lpca.base.hashing import named_rng
from lpca.gatespec.model import Answers
from lpca.tasks import (
    Episode,
    EpisodeSet,
    Settings,
    Split,
    Stratum,
    Task,
    TaskError,
    balanced_places,
    checked_settings,
    episode_seed,
    in_turn,
    refuse_fewer_than_two,
    whole_options,
)

Told = Mapping[str, str]
"""What one message tells: the value of each fact by the fact's name."""

SHARES: Mapping[Split, tuple[int, ...]] = {"train": (0, 1, 2), "validation": (3,), "test": (4,)}
"""Each split's share of the pairs of seen facts and a training wording, in fifths."""


@dataclass(frozen=True)
class OptionListTask(Task):
    """Facts in each message; `options` values of the asked one are listed in B's prompt.

    Seen values are those that training messages tell. Unseen ones are held out: for validation
    and for test apart, so that nothing can be chosen on the test's. Test messages also come in
    wordings that occur nowhere else. No message is shared between splits: of the pairs of seen
    facts and a training wording each split has its own.
    """

    options: int = 4
    leads: ClassVar[Mapping[str, str]]
    """By fact, in the order in which they take turns to be asked: what stands before its list."""
    afters: ClassVar[Mapping[str, str]]
    """By fact: what stands behind the slot, and asks for it."""
    wordings: ClassVar[Mapping[Split, tuple[str, ...]]]
    """Training's wordings, and those that only validation or only test has besides."""
    writes_prompts = True

    def __post_init__(self) -> None:
        whole_options(self.name, self.options)

    @classmethod
    def from_settings(cls, settings: Settings, folder: object = None) -> Self:
        """Build from a spec's `task:` entries; raises TaskError on an unknown or wrong one."""
        return cls(**checked_settings(cls.name, settings, ("options",)))

    @abstractmethod
    def values(self, fact: str, split: Split, stratum: Stratum) -> tuple[str, ...]:
        """Return what a fact may be; training has no unseen values (TaskError)."""

    @abstractmethod
    def shift(self, told: Told) -> int:
        """Return a number that follows from the facts: by it a split's wordings are chosen."""

    def make(self, told: Told, **fields: Any) -> Episode:
        """Return the episode of these fields; a task whose facts are shown as such keeps them."""
        return Episode(**fields)

    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """Return n episodes; for `all`, seen and unseen ones in turn, donors never across.

        Raises TaskError where a stratum has fewer than 2.
        """
        if answers != "all":
            return self._stratum(split, answers, n, seed)
        return in_turn(
            self._stratum(split, "seen", n - n // 2, seed),
            self._stratum(split, "unseen", n // 2, seed),
        )

    def _stratum(self, split: Split, stratum: Stratum, n: int, seed: int) -> EpisodeSet:
        """The facts take turns to be asked; an episode's donor is the next that asks the same.

        The donor's answer is one of the episode's options, so that its message contradicts the
        right answer. Per asked fact each value is an answer once before any is twice, and the
        right option's position is balanced, as are wordings as far as the pairs held out for a
        split allow.
        """
        refuse_fewer_than_two(n)
        rng = named_rng(self.name, split, stratum, seed, self.options, n)
        facts = tuple(self.leads)
        turns = facts[: min(len(facts), n // 2)]
        told: dict[int, Told] = {}
        positions: dict[int, int] = {}
        donors: dict[int, int] = {}
        for turn in range(len(turns)):
            group = range(turn, n, len(turns))
            count, first = len(group), len(positions)
            columns = {f: cycle_of(self.values(f, split, stratum), count, rng) for f in facts}
            places = balanced_places(count, self.options, rng, first)
            for i, index in enumerate(group):
                told[index] = {fact: columns[fact][i] for fact in facts}
                positions[index] = places[i]
                donors[index] = group[(i + 1) % count]
        allowed = [self._allowed(split, stratum, told[i]) for i in range(n)]
        wordings = least_used(allowed, donors, rng)
        episodes = []
        for i in range(n):
            asked = turns[i % len(turns)]
            wrong = [told[donors[i]][asked]]
            taken = {told[i][asked], *wrong}
            wrong += others(self.values(asked, split, stratum), taken, self.options - 2, rng)
            rng.shuffle(wrong)
            own_seed = episode_seed(split, stratum, seed, i)
            at = (split, stratum, wordings[i], told[i], asked)
            episodes.append(self._episode(own_seed, *at, wrong, positions[i]))
        return EpisodeSet(tuple(episodes), tuple(donors[i] for i in range(n)))

    def training_batch(self, step: int, size: int, seed: int) -> Sequence[Episode]:
        """Return `size` fresh episodes, their values distinct where they suffice."""
        rng = named_rng(self.name, "train", seed, step, self.options)
        facts = tuple(self.leads)
        columns = {f: cycle_of(self.values(f, "train", "seen"), size, rng) for f in facts}
        batch = []
        for i in range(size):
            told = {fact: columns[fact][i] for fact in facts}
            # where there is nothing to choose, nothing is drawn
            asked = rng.choice(facts) if len(facts) > 1 else facts[0]
            values = self.values(asked, "train", "seen")
            wrong = others(values, {told[asked]}, self.options - 1, rng)
            own_seed = episode_seed("train", "seen", seed, step * size + i)
            wording = rng.choice(self._allowed("train", "seen", told))
            position = rng.randrange(self.options)
            batch.append(
                self._episode(own_seed, "train", "seen", wording, told, asked, wrong, position)
            )
        return batch

    def outside(self, episode: Episode) -> tuple[str, ...]:
        """Return the texts before the options list, behind it, and behind the slot."""
        listed = ", ".join(episode.options)
        leads = list(self.leads.values())
        # a prompt that was spoilt may begin in no known way, and is read all the same
        lead = next((one for one in leads if episode.before.startswith(one)), leads[0])
        return lead, episode.before[len(lead) + len(listed) :], episode.after

    def _episode(
        self,
        seed: int,
        split: Split,
        stratum: Stratum,
        wording: str,
        told: Told,
        asked: str,
        wrong: Sequence[str],
        position: int,
    ) -> Episode:
        options = [*wrong[:position], told[asked], *wrong[position:]]
        rest = [other for other in self._allowed(split, stratum, told) if other != wording]
        rewording = named_rng(self.name, "paraphrase", seed).choice(rest)
        return self.make(
            told,
            seed=seed,
            stratum=stratum,
            wording=wording,
            message=wording.format(**told),
            before=f"{self.leads[asked]}{', '.join(options)}.",
            after=self.afters[asked],
            options=tuple(options),
            answer=position,
            paraphrase=rewording.format(**told),
        )

    def _allowed(self, split: Split, stratum: Stratum, told: Told) -> tuple[str, ...]:
        """The wordings in which a split's messages may tell facts."""
        training = self.wordings["train"]
        extra = () if split == "train" else self.wordings[split]
        if stratum == "unseen":
            return training + extra
        parts, shift = sum(map(len, SHARES.values())), self.shift(told)
        own = (w for i, w in enumerate(training) if (shift + i) % parts in SHARES[split])
        return (*own, *extra)


def part_of(
    names: Sequence[str], seen: int, validation: int, split: Split, stratum: Stratum
) -> tuple[str, ...]:
    """Return a stratum's part of names: `seen` first ones, then `validation` held out, then test's.

    Raises TaskError for unseen ones of training, which has none.
    """
    if stratum == "seen":
        return tuple(names[:seen])
    if split == "train":
        raise TaskError("training has no unseen answers")
    held_out = names[seen:]
    return tuple(held_out[:validation] if split == "validation" else held_out[validation:])


def listed(file: str) -> list[str]:
    """Return the lines of one of the tasks' data files; those that begin with `#` are comments."""
    text = files("lpca.tasks").joinpath("data", file).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def hash_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in an order of no meaning that never changes: that of their SHA-256."""
    return tuple(sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest()))


def least_used(
    allowed: Sequence[Sequence[str]], donors: Mapping[int, int], rng: random.Random
) -> list[str]:
    """For each entry one of its wordings, of those the one that came least so far.

    Where another is allowed, it is not that of the entry's donor.
    """
    receivers = {donor: index for index, donor in donors.items()}
    counts: Counter[str] = Counter()
    chosen: dict[int, str] = {}
    for index, own in enumerate(allowed):
        beside = {chosen.get(donors[index]), chosen.get(receivers[index])}
        apart = [wording for wording in own if wording not in beside] or own
        fewest = min(counts[wording] for wording in apart)
        chosen[index] = rng.choice([one for one in apart if counts[one] == fewest])
        counts[chosen[index]] += 1
    return list(chosen.values())


def cycle_of(names: Sequence[str], n: int, rng: random.Random) -> list[str]:
    """Return n names of which no two neighbours, first and last included, are equal."""
    drawn: list[str] = []
    while len(drawn) < n:
        order = rng.sample(names, len(names))
        if drawn and order[0] == drawn[-1]:
            order.reverse()
        drawn += order[: n - len(drawn)]
    if n > 1 and drawn[-1] == drawn[0]:
        drawn[-1] = others(names, {drawn[0], drawn[-2]}, 1, rng)[0]
    return drawn


def others(names: Sequence[str], taken: set[str], count: int, rng: random.Random) -> list[str]:
    """Return `count` different names, none of those that are taken."""
    return rng.sample([name for name in names if name not in taken], count)
