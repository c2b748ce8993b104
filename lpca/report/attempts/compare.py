"""Two attempts on the episodes they share: the paired difference of one condition at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lpca.evidence.model import Evidence, KeptEpisode
from lpca.gatespec.model import Score
from lpca.report.attempts.kept import TEXT_CONDITIONS, RecordError, content_hash, prompt_hash
from lpca.stats.proportions import mcnemar, tango
from lpca.stats.tables import Interval, PairedTable

CONFIDENCE = 0.95

Pairs = Sequence[tuple[KeptEpisode, KeptEpisode]]
"""The same episode in both, A's first."""


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
    """Compare evidence or its record, paired by episode seed.

    Args:
        first: what is called A.
        second: what is called B.
        asked: conditions; all that both were run under unless given.

    Returns:
        Each condition's paired difference, A minus B, with a 95 % interval (Tango) and McNemar's
        exact p; exploratory, no claim is decided.

    Raises:
        RecordError: the tasks differ, no episode is shared, a shared one is not the same in
            both, or a condition was not run in both.
    """
    _refuse_other_task(first, second)
    ours, theirs = _by_seed(first), _by_seed(second)
    pairs = [(episode, theirs[seed]) for seed, episode in ours.items() if seed in theirs]
    if not pairs:
        raise RecordError("they share no episode: there is nothing to pair")
    same_receiver = first.hashes.receiver == second.hashes.receiver
    for mine, other in pairs:
        _refuse_other_episode(mine, other, same_receiver)
    return Comparison(
        first.score,
        len(pairs),
        len(ours) - len(pairs),
        len(theirs) - len(pairs),
        tuple(_compared(name, first.score, pairs) for name in _conditions(first, second, asked)),
        tuple(_warnings(first, second, pairs)),
    )


def _refuse_other_task(first: Evidence, second: Evidence) -> None:
    names = {**first.task, **second.task}
    settings = {name: (first.task.get(name), second.task.get(name)) for name in names}
    differing = {name: values for name, values in settings.items() if values[0] != values[1]}
    if differing:
        named = ", ".join(f"{name} {mine} and {other}" for name, (mine, other) in differing.items())
        raise RecordError(f"they are of different tasks ({named}): their episodes are not the same")


def _by_seed(evidence: Evidence) -> Mapping[int, KeptEpisode]:
    found = {episode.seed: episode for episode in evidence.episodes}
    if len(found) != len(evidence.episodes):
        raise RecordError("an episode stands twice in one of them")
    return found


def _refuse_other_episode(mine: KeptEpisode, other: KeptEpisode, same_receiver: bool) -> None:
    """Prompts are token ids: they can be held against each other on one receiver only."""
    if content_hash(mine) != content_hash(other):
        raise RecordError(f"episode {mine.seed} is not the same in both: message or options")
    for condition in TEXT_CONDITIONS if same_receiver else ():
        hashes = {prompt_hash(mine, condition), prompt_hash(other, condition)} - {None}
        if len(hashes) > 1:
            raise RecordError(f"episode {mine.seed} had another prompt under {condition}")


def _conditions(first: Evidence, second: Evidence, asked: Sequence[str]) -> Sequence[str]:
    both = [name for name in first.conditions if name in second.conditions]
    unknown = [name for name in asked if name not in both]
    if unknown:
        raise RecordError(f"{unknown[0][:40]} was not run in both; allowed: {', '.join(both)}")
    return list(dict.fromkeys(asked)) or both


def _compared(name: str, score: Score, pairs: Pairs) -> Compared:
    columns = zip(*pairs, strict=True)
    table = PairedTable.from_outcomes(
        *([episode.outcomes[name].success(score) for episode in own] for own in columns)
    )
    return Compared(name, table, tango(table, CONFIDENCE), mcnemar(table))


def _warnings(first: Evidence, second: Evidence, pairs: Pairs) -> Iterator[str]:
    if first.hashes.receiver != second.hashes.receiver:
        yield (
            "the receivers differ: a difference may be theirs rather than the codec's, and that "
            "the prompts are the same could not be seen"
        )
    if first.score != second.score:
        yield (
            f"the scores differ: A was gated by {first.score}, B by {second.score}; both "
            "are read here by A's"
        )
    donors = sum(mine.donor != other.donor for mine, other in pairs)
    if donors:
        yield f"shuffle: {donors} of {len(pairs)} shared episodes had another donor's message"
