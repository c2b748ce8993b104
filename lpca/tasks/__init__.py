"""Split-information tasks: who sees what, and which answers are right."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from lpca.base.errors import RequestError
from lpca.base.hashing import hash_data
from lpca.base.registry import Registry
from lpca.gatespec.model import Answers

Split = Literal["train", "validation", "test"]
Stratum = Literal["seen", "unseen"]
Settings = Mapping[str, int | float | str | bool]
"""What a spec's `task:` says besides name and seed."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
MAX_TASK_SEED = 10**8 - 1
MIN_OPTIONS, MAX_OPTIONS = 2, 16
MAX_SENDERS = 8
_SEEDS_PER_STRATUM = 5_000_000


class TaskError(RequestError):
    """A task cannot be built, or cannot give the episodes it is asked for.

    `setting` is the key of the spec's `task:` entry at fault, where one is.
    """

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


def message_key(message: str) -> str:
    """A message without differences of case and blanks: by it messages are told apart."""
    return " ".join(message.casefold().split())


def checked_settings(task: str, settings: Settings, allowed: Sequence[str]) -> dict[str, Any]:
    """Return a task's settings; TaskError on one that it does not have."""
    for key in sorted(set(settings) - set(allowed)):
        names = ", ".join(allowed) or "none"
        raise TaskError(f"task {task}: unknown setting {key!r:.62}; allowed: {names}", key)
    return dict(settings)


def whole_options(task: str, options: object) -> None:
    """Refuse, as a TaskError, a number of options that is none."""
    whole = isinstance(options, int) and not isinstance(options, bool)
    if not whole or not MIN_OPTIONS <= options <= MAX_OPTIONS:  # type: ignore[operator]
        raise TaskError(
            f"task {task}: options is {options!r}; allowed: a whole number from {MIN_OPTIONS} to "
            f"{MAX_OPTIONS}",
            "options",
        )


def refuse_fewer_than_two(n: int) -> None:
    """Raise TaskError where there are too few episodes for `shuffle`."""
    if n < 2:
        raise TaskError(f"{n} episode cannot be shuffled: a derangement needs at least 2")


@dataclass(frozen=True)
class Episode:
    """One seed's problem.

    A sees `message`. B sees `before`, then the slot (nothing, text or injected vectors), then
    `after`, and goes on with one of `options`; `answer` is the index of the right one.
    `paraphrase` is another message with the same answer in other words; empty where the task has
    none. `public` is what A sees of B's text.

    Where there are several `senders`, `message` is all their texts, a line each. Then B sees
    `before`, the first slot, the first text of `between`, the next slot, and so on up to `after`;
    `order` is by slot the number of the sender whose packet stands there, from 0 on, and empty
    where all of them have one slot, and so one packet.
    """

    seed: int
    stratum: Stratum
    wording: str
    message: str
    before: str
    after: str
    options: tuple[str, ...]
    answer: int
    paraphrase: str = ""
    public: str = ""
    senders: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    between: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        """Whether B answers in words of its own, which a verifier reads."""
        return False

    @property
    def problem(self) -> list[object]:
        """Plain data by which a free answer is verified; empty where an option is to be named."""
        return []

    def credit(self, said: str) -> float | None:
        """How far an answer in words solves the problem; None where an option is to be named."""
        return None

    def contradicted_by(self, donor: Episode) -> bool:
        """Whether the donor's message, believed, makes this episode's right answer wrong."""
        return donor.right in self.options and donor.right != self.right

    @property
    def group(self) -> str:
        """What it shares with other episodes, which are no evidence independent of it.

        Its wording; where it has none of its own, its message.
        """
        return self.wording or message_key(self.message)

    @property
    def right(self) -> str:
        """The right option's text."""
        return self.options[self.answer]

    @property
    def messages(self) -> tuple[str, ...]:
        """What each sender tells; mostly there is one."""
        return self.senders or (self.message,)

    @property
    def by_slot(self) -> tuple[Episode, ...]:
        """By slot, in the order of their places: as if it were the only one; mostly it is.

        Such an episode knows of its message only, of B's texts those at the ends, and its seed is
        its own. The sender's number is all of its `order`.

        Example:
            >>> both = Episode(1, "seen", "", "a\nb", "", "", ("x", "y"), 0, senders=("a", "b"))
            >>> both.by_slot == (both,)
            True
            >>> turned = replace(both, order=(1, 0), between=(" and",))
            >>> [(one.message, one.order) for one in turned.by_slot]
            [('b', (1,)), ('a', (0,))]
        """
        if not self.between:
            return (self,)
        return tuple(
            replace(
                self,
                seed=self.seed + place * _BETWEEN_SLOTS,
                message=self.senders[sender],
                senders=(),
                order=(sender,),
                between=(),
            )
            for place, sender in enumerate(self.order)
        )

    def telling(self, messages: tuple[str, ...]) -> Self:
        """The same episode, were these the senders' messages."""
        return replace(self, message=joined(messages), senders=messages if self.senders else ())

    def with_senders(self, donor: Episode, sender: int) -> tuple[str, ...]:
        """The messages with one sender's, by its number from 1 on, of another episode.

        Raises:
            TaskError: there is no such sender.
        """
        own = self.messages
        if sender > len(own):
            raise TaskError(
                f"shuffle_{sender}: episode {self.seed} has {len(own)} senders; allowed: episodes "
                "whose message is a list of as many texts"
            )
        return (*own[: sender - 1], donor.messages[sender - 1], *own[sender:])

    @property
    def context(self) -> tuple[str, ...]:
        """B's own texts, in their order: between any two of them there is a slot."""
        return (self.before, *self.between, self.after)

    def written(self, texts: Sequence[str]) -> str:
        """B's text with these in its slots, in the order of their places."""
        pairs = zip(self.context, (*texts, ""), strict=True)
        return "".join(f"{own}{text}" for own, text in pairs)

    @property
    def fields(self) -> dict[str, Any]:
        """All of it as plain data, by which it is named.

        The younger fields only where they say something: what was named without them keeps its
        name.
        """
        held = asdict(self)
        return {name: told for name, told in held.items() if told or name not in _YOUNGER}


_YOUNGER = ("public", "senders", "order", "between", "answers", "verifier", "code")
_BETWEEN_SLOTS = 3 * 10**16
"""Between the seeds of an episode's slots: larger than any seed, and of the same split."""


def joined(messages: Sequence[str]) -> str:
    """Several senders' messages as one text, a line each."""
    return "\n".join(messages)


@dataclass(frozen=True)
class ToldEpisode(Episode):
    """An episode whose task knows what its message tells: `facts`, by name."""

    facts: tuple[tuple[str, str], ...] = ()

    @property
    def structured(self) -> str:
        """The facts alone, such as `who: Hugo, where: Lima, when: May 12`."""
        return ", ".join(f"{name}: {value}" for name, value in self.facts)


@dataclass(frozen=True)
class EpisodeSet:
    """Episodes evaluated together, with the donor of each: `donors[i]` is an index into `whole`.

    A part of a set (`of`) keeps its donors, which may lie outside the part.
    """

    episodes: tuple[Episode, ...]
    donors: tuple[int, ...]
    of: EpisodeSet | None = None

    def __len__(self) -> int:
        return len(self.episodes)

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)

    @property
    def whole(self) -> EpisodeSet:
        """The set that this one is a part of; itself when it is none."""
        return self if self.of is None else self.of

    def part(self, start: int, stop: int) -> EpisodeSet:
        """The episodes from `start` up to, not including, `stop`."""
        if (start, stop) == (0, len(self)):
            return self
        return EpisodeSet(self.episodes[start:stop], self.donors[start:stop], self.whole)

    @cached_property
    def by_slot(self) -> EpisodeSet:
        """Each slot as if it were an episode's only one, those of an episode one after the other.

        A slot's donor is the same sender of the episode's donor. Where every episode has one slot,
        it is this set.
        """
        if not any(episode.between for episode in self.whole):
            return self
        alone = [episode.by_slot for episode in self.whole]
        count, donors = len(alone[0]), list[int]()
        for episode, donor in zip(self.episodes, self.donors, strict=True):
            senders = [one.order for one in alone[donor]]
            donors += [count * donor + senders.index(one.order) for one in episode.by_slot]
        own = tuple(one for episode in self.episodes for one in episode.by_slot)
        if self.of is None:
            return EpisodeSet(own, tuple(donors))
        return EpisodeSet(own, tuple(donors), self.of.by_slot)

    def donor(self, index: int) -> Episode:
        """The episode whose message episode `index` gets under `shuffle`."""
        return self.whole.episodes[self.donors[index]]

    def hash(self) -> str:
        """SHA-256 of every field of every episode of this set, and of its donors' indices."""
        return hash_data([[episode.fields for episode in self.episodes], list(self.donors)])


class Task(ABC):
    """A source of episodes. Training, validation and test seeds never meet."""

    name: ClassVar[str]
    """What a spec calls it."""
    writes_prompts = False
    """Whether B's prompts are the task's own: one list of options, their places balanced.

    Where they are somebody's own text, the validity checks ask of them what may be asked.
    """
    tells_facts = False
    """Whether its episodes are ToldEpisodes, as the condition p5 needs."""
    may_run_out = False
    """Whether its episodes are a store that can be too small for what a spec asks."""

    @classmethod
    @abstractmethod
    def from_settings(cls, settings: Settings, folder: Path) -> Self:
        """Build the task of a spec that stands in `folder`; TaskError on a wrong setting."""

    @abstractmethod
    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """Return n episodes with donors; raises TaskError when they cannot be made."""

    @abstractmethod
    def training_batch(self, step: int, size: int, seed: int) -> Sequence[Episode]:
        """Return the fresh training episodes of one step."""

    @abstractmethod
    def training_hash(self) -> str:
        """Return a hash of everything that shapes training episodes, but for the seed."""

    @property
    def gives_credit(self) -> bool:
        """Whether answers in words get a mark in [0, 1]."""
        return False

    @property
    def is_at_hand(self) -> bool:
        """Whether its episodes can be drawn without fetching anything first."""
        return True

    def contents(self) -> Mapping[str, str]:
        """By setting that names a file: a hash of the test episodes that are in it."""
        return {}

    def outside(self, episode: Episode) -> tuple[str, ...]:
        """Return the texts that B sees around the list of options; here there is none."""
        return episode.context


TASKS: Registry[type[Task]] = Registry("task", package="lpca.tasks.kinds")
"""By the name that a spec's `task:` gives: each module of `lpca.tasks.kinds` registers its own."""


def make_task(name: str, settings: Settings, folder: Path = Path()) -> Task:
    """Build the task a spec in `folder` names; TaskError on an unknown name or setting."""
    try:
        kind = TASKS[name]
    except KeyError as error:
        raise TaskError(str(error), "name") from None
    return kind.from_settings(settings, folder)


def balanced_places(n: int, options: int, rng: random.Random, first: int = 0) -> list[int]:
    """Return n places of right options in random order, each as often as the others or once more.

    `first` is the place at which counting them begins.
    """
    places = [(first + i) % options for i in range(n)]
    rng.shuffle(places)
    return places


def in_turn(seen: EpisodeSet, unseen: EpisodeSet) -> EpisodeSet:
    """Compose two strata, equally long or the first longer by one; donors never across.

    A gate that stops early has then read both.
    """
    n = len(seen) + len(unseen)
    places = [(one, index) for index in range(len(seen)) for one in (seen, unseen)][:n]
    donors = (2 * one.donors[index] + (one is unseen) for one, index in places)
    return EpisodeSet(tuple(one.episodes[index] for one, index in places), tuple(donors))


def episode_seed(split: Split, stratum: Stratum, task_seed: int, index: int) -> int:
    """Return an episode's own seed; split and stratum can be read off it, so none is shared.

    The split is the remainder modulo 3, the rest counts episodes of one task seed and stratum.
    Raises TaskError when the task seed or the index is out of range.
    """
    if not 0 <= task_seed <= MAX_TASK_SEED:
        raise TaskError(
            f"task seed {task_seed} is out of range; allowed: 0 to {MAX_TASK_SEED}", "seed"
        )
    if not 0 <= index < _SEEDS_PER_STRATUM:
        raise TaskError(
            f"episode index {index} is out of range; allowed: below {_SEEDS_PER_STRATUM}"
        )
    half = 0 if stratum == "seen" else _SEEDS_PER_STRATUM
    return (task_seed * 2 * _SEEDS_PER_STRATUM + half + index) * len(SPLITS) + SPLITS.index(split)


TENTHS: Mapping[Split, range] = {
    "train": range(6),
    "validation": range(6, 7),
    "test": range(7, 10),
}
"""Each split's tenths of what is split by the hash of a text."""


def split_by_hash(text: str, tenths: Mapping[Split, range] = TENTHS) -> Split:
    """Return the split of a text: the same one for ever, whatever other texts there are."""
    tenth = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10
    return next(split for split, share in tenths.items() if tenth in share)


def split_of(seed: int) -> Split:
    """Return the split an episode's seed belongs to."""
    return SPLITS[seed % len(SPLITS)]
