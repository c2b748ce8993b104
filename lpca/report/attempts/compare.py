"""Two attempts on the episodes they share: the paired difference of one condition at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lpca.evidence import Evidence, KeptEpisode
from lpca.gatespec.model import Score
from lpca.report.attempts.kept import TEXT_CONDITIONS, RecordError, content_hash, prompt_hash
from lpca.stats import Interval, PairedTable, mcnemar, tango

CONFIDENCE = 0.95

Episodes = Mapping[int, KeptEpisode]


@dataclass(frozen=True)
class Compared:
    """One condition in both attempts; `table` counts A first, `interval` is of A minus B.

    `p_exact` is McNemar's exact two-sided p-value.
    """

    condition: str
    table: PairedTable
    interval: Interval
    p_exact: float


@dataclass(frozen=True)
class Comparison:
    """What two attempts have in common, and how they differ on it; outcomes by `score`."""

    score: Score
    shared: int
    only_first: int
    only_second: int
    conditions: tuple[Compared, ...]
    warnings: tuple[str, ...]


def compare(first: Evidence, second: Evidence, asked: Sequence[str] = ()) -> Comparison:
    """Compare evidence or its record, paired by episode seed; `asked` conditions, or all.

    Raises:
        RecordError: the tasks differ, no episode is shared, a shared one is not the same in
            both, or a condition was not run in both.
    """
    _refuse_other_task(first, second)
    one, other = _by_seed(first), _by_seed(second)
    shared = [seed for seed in one if seed in other]
    if not shared:
        raise RecordError("they share no episode: there is nothing to pair")
    same_receiver = first.hashes.receiver == second.hashes.receiver
    for seed in shared:
        _refuse_other_episode(one[seed], other[seed], same_receiver)
    score = first.score
    return Comparison(
        score,
        len(shared),
        len(one) - len(shared),
        len(other) - len(shared),
        tuple(
            _compared(name, score, [one[seed] for seed in shared], [other[seed] for seed in shared])
            for name in _conditions(first, second, asked)
        ),
        tuple(_warnings(first, second, [(one[seed], other[seed]) for seed in shared])),
    )


def _refuse_other_task(first: Evidence, second: Evidence) -> None:
    one, other = first.task, second.task
    differing = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    if differing:
        named = ", ".join(f"{key} {one.get(key)} and {other.get(key)}" for key in differing)
        raise RecordError(f"they are of different tasks ({named}): their episodes are not the same")


def _by_seed(evidence: Evidence) -> Episodes:
    found = {episode.seed: episode for episode in evidence.episodes}
    if len(found) != len(evidence.episodes):
        raise RecordError("an episode stands twice in one of them")
    return found


def _refuse_other_episode(one: KeptEpisode, other: KeptEpisode, same_receiver: bool) -> None:
    """Prompts are token ids: they can be held against each other on one receiver only."""
    if content_hash(one) != content_hash(other):
        raise RecordError(f"episode {one.seed} is not the same in both: message or options")
    for condition in TEXT_CONDITIONS if same_receiver else ():
        mine, theirs = prompt_hash(one, condition), prompt_hash(other, condition)
        if mine is not None and theirs is not None and mine != theirs:
            raise RecordError(f"episode {one.seed} had another prompt under {condition}")


def _conditions(first: Evidence, second: Evidence, asked: Sequence[str]) -> Sequence[str]:
    both = [name for name in first.conditions if name in second.conditions]
    unknown = [name for name in asked if name not in both]
    if unknown:
        raise RecordError(f"{unknown[0][:40]} was not run in both; allowed: {', '.join(both)}")
    return list(dict.fromkeys(asked)) or both


def _compared(
    name: str, score: Score, one: Sequence[KeptEpisode], other: Sequence[KeptEpisode]
) -> Compared:
    table = PairedTable.from_outcomes(
        *([episode.outcomes[name].success(score) for episode in own] for own in (one, other))
    )
    return Compared(name, table, tango(table, CONFIDENCE), mcnemar(table, "exact"))


def _warnings(
    first: Evidence, second: Evidence, pairs: Sequence[tuple[KeptEpisode, KeptEpisode]]
) -> list[str]:
    found = []
    if first.hashes.receiver != second.hashes.receiver:
        found.append(
            "the receivers differ: a difference may be theirs rather than the codec's, and that "
            "the prompts are the same could not be seen"
        )
    if first.score != second.score:
        found.append(
            f"the scores differ: A was gated by {first.score}, B by {second.score}; both "
            "are read here by A's"
        )
    donors = sum(one.donor != other.donor for one, other in pairs)
    if donors:
        found.append(
            f"shuffle: {donors} of {len(pairs)} shared episodes had another donor's message"
        )
    return found
