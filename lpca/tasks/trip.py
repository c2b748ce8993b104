"""The task `trip`: A's message names a city; B must say which of the listed cities it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

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


@dataclass(frozen=True)
class Trip:
    """Cities as answers; `options` of them are listed in B's prompt, one of them right.

    Seen answers are cities that training messages name. Unseen ones are held out: for validation
    and for test apart, so that nothing can be chosen on the test's. Test messages also come in
    wordings that occur nowhere else. No message is shared between splits: of the pairs of a seen
    city and a training wording each split has its own.
    """

    options: int = 4
    name = "trip"
    writes_prompts = True

    def __post_init__(self) -> None:
        if isinstance(self.options, bool) or not isinstance(self.options, int):
            raise TaskError(
                f"task trip: options is {self.options!r}; allowed: a whole number", "options"
            )
        if not MIN_OPTIONS <= self.options <= MAX_OPTIONS:
            raise TaskError(
                f"task trip: options is {self.options}; allowed: {MIN_OPTIONS} to {MAX_OPTIONS}",
                "options",
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, int | float | str | bool]) -> Trip:
        """Build from a spec's `task:` entries; raises TaskError on an unknown or wrong one."""
        only_options(cls.name, settings)
        return cls(**settings)  # type: ignore[arg-type]

    def evaluation_set(self, split: Split, answers: Answers, n: int, seed: int) -> EpisodeSet:
        """Return n episodes; for `all`, seen and unseen answers in turn, donors never across.

        Raises TaskError where a stratum has fewer than 2.
        """
        if answers != "all":
            return self._stratum(split, answers, n, seed)
        return in_turn(
            self._stratum(split, "seen", n - n // 2, seed),
            self._stratum(split, "unseen", n // 2, seed),
        )

    def _stratum(self, split: Split, stratum: Stratum, n: int, seed: int) -> EpisodeSet:
        """Episode i's donor is episode i+1, whose answer is one of i's options.

        Answers run through the stratum's names in seeded order, each once before any comes twice.
        The right option's position is balanced, and so are wordings, as far as the pairs held out
        for a split allow.
        """
        if n < 2:
            raise TaskError(f"{n} episode cannot be shuffled: a derangement needs at least 2")
        rng = named_rng("trip", split, stratum, seed, self.options, n)
        names = city_names(split, stratum)
        answers = cycle_of(names, n, rng)
        positions = balanced(range(self.options), n, rng)
        wordings = least_used([_wordings(split, stratum, answer) for answer in answers], rng)
        episodes = []
        for i, (answer, position, wording) in enumerate(
            zip(answers, positions, wordings, strict=True)
        ):
            wrong = [answers[(i + 1) % n]]
            wrong += others(names, {answer, *wrong}, self.options - 2, rng)
            rng.shuffle(wrong)
            own_seed = episode_seed(split, stratum, seed, i)
            episodes.append(
                self._episode(own_seed, split, stratum, wording, answer, wrong, position)
            )
        return EpisodeSet(tuple(episodes), tuple((i + 1) % n for i in range(n)))

    def training_batch(self, step: int, size: int, seed: int) -> Sequence[Episode]:
        """Return `size` fresh episodes with distinct answers where the names suffice."""
        rng = named_rng("trip", "train", seed, step, self.options)
        names = city_names("train", "seen")
        answers = cycle_of(names, size, rng)
        batch = []
        for i, answer in enumerate(answers):
            wrong = others(names, {answer}, self.options - 1, rng)
            own_seed = episode_seed("train", "seen", seed, step * size + i)
            wording = rng.choice(_wordings("train", "seen", answer))
            position = rng.randrange(self.options)
            batch.append(self._episode(own_seed, "train", "seen", wording, answer, wrong, position))
        return batch

    def training_hash(self) -> str:
        """Return a hash of names, wordings, prompt and number of options as training uses them."""
        names = city_names("train", "seen")
        return hash_data([names, TRAIN_WORDINGS, SHARES["train"], LIST_LEAD, AFTER, self.options])

    def contents(self) -> Mapping[str, str]:
        """No setting names a file."""
        return {}

    def outside(self, episode: Episode) -> tuple[str, ...]:
        """Return the texts before the options list, behind it, and behind the slot."""
        start = len(LIST_LEAD)
        stop = start + len(", ".join(episode.options))
        return episode.before[:start], episode.before[stop:], episode.after

    def _episode(
        self,
        seed: int,
        split: Split,
        stratum: Stratum,
        wording: str,
        answer: str,
        wrong: Sequence[str],
        position: int,
    ) -> Episode:
        options = [*wrong[:position], answer, *wrong[position:]]
        rest = [other for other in _wordings(split, stratum, answer) if other != wording]
        rewording = named_rng("trip", "paraphrase", seed).choice(rest)
        return Episode(
            seed=seed,
            stratum=stratum,
            wording=wording,
            message=wording.format(city=answer),
            before=f"{LIST_LEAD}{', '.join(options)}.",
            after=AFTER,
            options=tuple(options),
            answer=position,
            paraphrase=rewording.format(city=answer),
        )


def city_names(split: Split, stratum: Stratum) -> tuple[str, ...]:
    """Return the names that may be answers; training has no unseen ones (TaskError)."""
    names = _shuffled_names()
    if stratum == "seen":
        return names[:TRAIN_NAMES]
    held_out = names[TRAIN_NAMES:]
    if split == "train":
        raise TaskError("training has no unseen answers")
    return held_out[:VALIDATION_NAMES] if split == "validation" else held_out[VALIDATION_NAMES:]


@cache
def _shuffled_names() -> tuple[str, ...]:
    return hash_order(listed("cities.txt"))


def _wordings(split: Split, stratum: Stratum, answer: str) -> tuple[str, ...]:
    """The wordings in which a split's messages may name an answer."""
    extra = {"train": (), "validation": VALIDATION_WORDINGS, "test": TEST_WORDINGS}[split]
    if stratum == "unseen":
        return TRAIN_WORDINGS + extra
    return (*own_share(TRAIN_WORDINGS, split, _places()[answer]), *extra)


@cache
def _places() -> Mapping[str, int]:
    return {name: place for place, name in enumerate(_shuffled_names())}
