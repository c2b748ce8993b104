"""What the families of free answers share: puzzles split between A and B, and their verifier."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from lpca.base.hashing import hash_data, named_rng
from lpca.gatespec.model import Answers
from lpca.tasks import (
    TASKS,
    Episode,
    EpisodeSet,
    Settings,
    Split,
    Task,
    TaskError,
    balanced_places,
    checked_settings,
    episode_seed,
    refuse_fewer_than_two,
    split_by_hash,
)
from lpca.tasks.donors import matched
from lpca.tasks.marks import first_line

OPTIONS = 8
"""How many answers are scored by likelihood: the right one, and near misses."""
WINDOW = 48
"""How many of the episodes behind one are looked at for its donor."""
TRIES = 20
"""How many sets of puzzles are drawn for one in which every episode has a donor."""
MAX_REPEATED = 300
"""How many puzzles in a row may tell what was told already before a split counts as used up."""
MAX_DRAWS = 20_000
"""How many puzzles are drawn for one of a wanted split before the task gives up."""


@dataclass(frozen=True)
class Puzzle:
    """One problem: what A is told and B has of its own, each ambiguous, together one answer.

    `wrong` are near misses, of which none solves it: answers that B's half alone does not exclude,
    as far as there are any.
    """

    told: tuple[str, ...]
    own: tuple[str, ...]
    right: str
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class FreeEpisode(Episode):
    """An episode whose answer B says freely, and a verifier reads.

    `told` and `own` are the two halves of the problem in the family's own notation. `options` are
    the right answer and near misses; B's prompt lists none of them.
    """

    family: str = ""
    told: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    @property
    def free(self) -> bool:
        """It is."""
        return True

    @property
    def problem(self) -> list[object]:
        """The family and both halves."""
        return [self.family, list(self.told), list(self.own)]

    def credit(self, said: str) -> float:
        """Return how far an answer solves the problem: 1.0 where it does, down to 0.0."""
        return self.rule.credit(self.told, self.own, first_line(said))

    def contradicted_by(self, donor: Episode) -> bool:
        """Whether this episode's right answer is wrong where the donor's message is true."""
        if not isinstance(donor, FreeEpisode) or donor.family != self.family:
            return False
        return self.rule.contradicts(donor.told, self.own, self.right)

    @property
    def rule(self) -> Family:
        """The family that draws such problems and verifies their answers."""
        return family_named(self.family)


class Family(Task):
    """A source of puzzles with a verifier; as a task, it has one stratum of answers."""

    lead: ClassVar[str]
    """What B reads before its own half of a puzzle."""
    after: ClassVar[str]
    """What stands behind the slot, and asks for the answer."""

    @property
    def gives_credit(self) -> bool:
        """Each has a verifier."""
        return True

    @abstractmethod
    def draw(self, rng: random.Random) -> Puzzle:
        """Return a puzzle of any split."""

    @abstractmethod
    def credit(self, told: Sequence[str], own: Sequence[str], said: str) -> float:
        """Return how far a line of text solves the problem of two halves: 0.0 to 1.0."""

    def contradicts(self, told: Sequence[str], own: Sequence[str], answer: str) -> bool:
        """Whether an answer is wrong where what A tells is true."""
        return self.credit(told, own, answer) < 1.0

    def message(self, told: Sequence[str]) -> str:
        """Return A's half, one word for each thing that it tells."""
        return " ".join(told)

    def prompt(self, own: Sequence[str]) -> tuple[str, str]:
        """Return B's text before the slot, its own half at the end, and behind it."""
        return f"{self.lead} {' '.join(own)}", self.after

    @classmethod
    def from_settings(cls, settings: Settings, folder: object = None) -> Self:
        """Build from a spec's `task:` entries; the families have none (TaskError)."""
        checked_settings(cls.name, settings, ())
        return cls()

    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """Return n episodes with messages all different, and donors that contradict them.

        Every place among the options is right equally often. Raises TaskError for unseen answers,
        which a family does not hold out, and where n cannot be had.
        """
        if answers == "unseen":
            raise TaskError(
                f"task {self.name}: no answer is held out from training; allowed: seen, all"
            )
        refuse_fewer_than_two(n)
        rng = named_rng(self.name, split, seed, n)
        places = balanced_places(n, OPTIONS, rng)
        puzzles = self.puzzles(split, rng)
        for _ in range(TRIES):
            chosen = _first(n, puzzles, self.name)
            episodes = tuple(
                self._episode(episode_seed(split, "seen", seed, i), puzzle, places[i])
                for i, puzzle in enumerate(chosen)
            )
            if donors := _donors(episodes):
                return EpisodeSet(episodes, donors)
        raise TaskError(f"task {self.name}: {n} episodes do not contradict one another", "seed")

    def training_batch(self, step: int, size: int, seed: int) -> Sequence[Episode]:
        """Return `size` fresh training episodes."""
        rng = named_rng(self.name, "train", seed, step)
        puzzles = self.puzzles("train", rng)
        return [
            self._episode(
                episode_seed("train", "seen", seed, step * size + i),
                next(puzzles),
                rng.randrange(OPTIONS),
            )
            for i in range(size)
        ]

    def training_hash(self) -> str:
        """Return a hash of a sample of training episodes: a family has no data but its code."""
        rng = named_rng(self.name, "hash")
        puzzles = self.puzzles("train", rng)
        sample = [next(puzzles) for _ in range(32)]
        texts = [[self.message(one.told), *self.prompt(one.own), one.right] for one in sample]
        return hash_data([self.name, texts])

    def puzzles(self, split: Split, rng: random.Random) -> Iterator[Puzzle]:
        """Yield puzzles of a split, whose messages tell what no other split's do."""
        while True:
            for _ in range(MAX_DRAWS):
                puzzle = self.draw(rng)
                if split_of_message(puzzle.told) == split:
                    break
            else:
                raise TaskError(f"task {self.name}: no puzzle of the {split} split was drawn")
            yield puzzle

    def _episode(self, seed: int, puzzle: Puzzle, place: int) -> FreeEpisode:
        rng = named_rng(self.name, "order", seed)
        before, after = self.prompt(puzzle.own)
        wrong = rng.sample(puzzle.wrong, OPTIONS - 1)
        return FreeEpisode(
            seed=seed,
            stratum="seen",
            wording="",
            message=self.message(puzzle.told),
            before=before,
            after=after,
            options=(*wrong[:place], puzzle.right, *wrong[place:]),
            answer=place,
            paraphrase=self.message(_in_other_order(puzzle.told, rng)),
            family=self.name,
            told=puzzle.told,
            own=puzzle.own,
        )


def family_named(name: str) -> Family:
    """Return the family of a name; KeyError where no family has it."""
    found = TASKS[name]
    if not issubclass(found, Family):
        raise KeyError(f"task {name} is no family of free answers")
    return found()


def split_of_message(told: Sequence[str]) -> Split:
    """Return the split of the messages that tell this, in whatever order."""
    return split_by_hash("\n".join(sorted(told)))


def _first(n: int, puzzles: Iterator[Puzzle], name: str) -> list[Puzzle]:
    """The first n puzzles whose messages tell different things."""
    found: dict[tuple[str, ...], Puzzle] = {}
    repeated = 0
    while repeated < MAX_REPEATED:
        puzzle = next(puzzles)
        told = tuple(sorted(puzzle.told))
        repeated = repeated + 1 if told in found else 0
        found.setdefault(told, puzzle)
        if len(found) == n:
            return list(found.values())
    raise TaskError(
        f"task {name}: {len(found)} different messages were drawn, {n} are asked for; allowed: "
        "a smaller n"
    )


def _in_other_order(told: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    others = [*told]
    while tuple(others) == tuple(told):
        rng.shuffle(others)
    return tuple(others)


def _donors(episodes: Sequence[FreeEpisode]) -> tuple[int, ...]:
    """By episode the index of its donor, whose message contradicts it; none where one has none."""
    count = len(episodes)
    edges = [
        # in order: which matching is found follows from it
        sorted(
            (i + step) % count
            for step in range(1, min(WINDOW, count - 1) + 1)
            if episode.contradicted_by(episodes[(i + step) % count])
        )
        for i, episode in enumerate(episodes)
    ]
    return tuple(matched(edges) or ())
