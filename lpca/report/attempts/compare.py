"""Two attempts on the episodes they share: the paired difference of one condition at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lpca.evidence.model import Evidence, KeptEpisode
from lpca.gatespec.model import Score
from lpca.judge.outcomes import OutcomeTable, clusters_of
from lpca.judge.reader import table_of_evidence
from lpca.report.attempts.kept import TEXT_CONDITIONS, RecordError, content_hash, prompt_hash
from lpca.stats.assessment import Assessment, assess
from lpca.stats.claims import Difference
from lpca.stats.clusters import Clusters, codes_of
from lpca.stats.sequential import anytime_mean, obrien_fleming, repeated_p
from lpca.stats.tables import Interval, PairedTable

CONFIDENCE = 0.95
ALPHA = (1.0 - CONFIDENCE) / 2.0
"""That of either side."""
DIFFERENCE = Difference("A", "B", ">", 0.0)
STEPS = 20
"""Halvings between two levels: to six digits."""

Pairs = Sequence[tuple[KeptEpisode, KeptEpisode]]
"""The same episode in both, A's first."""


@dataclass(frozen=True)
class Compared:
    """One condition in both attempts; `interval` is of A's rate, or mean mark, minus B's.

    `table` counts pairs, A first; None of marks. `p` is two-sided and of the interval's own test:
    below 0.05 exactly where 0 lies outside.
    """

    condition: str
    first: float
    second: float
    table: PairedTable | None
    interval: Interval
    p: float

    @property
    def difference(self) -> float:
        """A's rate less B's."""
        # counts are exact: the difference of two rounded rates may show another last digit
        return self.first - self.second if self.table is None else self.table.difference


@dataclass(frozen=True)
class Stop:
    """When the shared episodes ended: after all that were declared, at a look, or at any time.

    `look` counts from 1 among `looks`; both are None where a run might have ended at any time.
    """

    look: int | None = 1
    looks: int | None = 1


@dataclass(frozen=True)
class Comparison:
    """What two attempts have in common, and how they differ on it; outcomes by `score`.

    `groups` is how many groups the shared episodes are in; None where that is not known.
    """

    score: Score
    shared: int
    only_first: int
    only_second: int
    groups: int | None
    stop: Stop
    conditions: tuple[Compared, ...]
    warnings: tuple[str, ...]


def compare(first: Evidence, second: Evidence, asked: Sequence[str] = ()) -> Comparison:
    """Compare evidence or its record, paired by episode seed.

    Args:
        first: what is called A.
        second: what is called B.
        asked: conditions; all that both were run under unless given.

    Returns:
        Each condition's paired difference, A minus B, with a 95 % interval and the p of its own
        test, both over groups and under the runs' stopping rule; exploratory, no claim is decided.

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
    for episode, other in pairs:
        _refuse_other_episode(episode, other, same_receiver)
    seeds = [episode.seed for episode, _ in pairs]
    left, right = _shared(first, seeds), _shared(replace(second, score=first.score), seeds)
    # groups as whichever attempt knows them has them
    grouped = right if left.groups is None and right.groups is not None else left
    stop = _stop(first, second, len(pairs))
    return Comparison(
        first.score,
        len(pairs),
        len(ours) - len(pairs),
        len(theirs) - len(pairs),
        None if grouped.groups is None else len(set(grouped.groups)),
        stop,
        tuple(
            _compared(name, left, right, stop, clusters_of(grouped, [name], "group"))
            for name in _conditions(first, second, asked)
        ),
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


def _stop(first: Evidence, second: Evidence, shared: int) -> Stop:
    """How the number of shared episodes came about.

    A run with a stopping rule might have ended elsewhere, had its outcomes been others. Shared
    episodes that are no look of its rule, or of two rules, are taken to end at any time.
    """
    rules = [one.looks for one in (first, second) if one.looks.rule is not None]
    if not rules:
        return Stop()
    sizes = {one.sizes for one in rules}
    if {one.rule for one in rules} == {"obrien-fleming"} and len(sizes) == 1:
        (only,) = sizes
        if shared in only:
            return Stop(only.index(shared) + 1, len(only))
    return Stop(None, None)


def _shared(evidence: Evidence, seeds: Sequence[int]) -> OutcomeTable:
    """The outcomes of these episodes, in this order."""
    table = table_of_evidence(evidence)
    places = {seed: index for index, seed in enumerate(table.seeds)}
    return table.rows([places[seed] for seed in seeds])


def _compared(
    name: str, mine: OutcomeTable, theirs: OutcomeTable, stop: Stop, clusters: Clusters | None
) -> Compared:
    outcomes = {"A": mine.packed[name], "B": theirs.packed[name]}
    table = None if mine.graded else PairedTable.from_outcomes(outcomes["A"], outcomes["B"])

    def compared(interval: Interval, p: float) -> Compared:
        return Compared(name, mine.rate(name), theirs.rate(name), table, interval, p)

    def seen_at(alpha: float) -> Assessment:
        return assess(DIFFERENCE, outcomes, 1.0 - 2.0 * alpha, clusters=clusters)

    if stop.look is None or stop.looks is None:
        differences = [float(a - b) for a, b in zip(*outcomes.values(), strict=True)]
        single = Clusters(codes_of(range(mine.n)))
        seen = anytime_mean(differences, clusters or single, confidence=CONFIDENCE)
        if clusters is None or clusters.donor is None:
            return compared(seen.interval, seen.p)
        # bets know of an episode's own group alone: the score over donors' groups must agree
        over = seen_at(ALPHA)
        p = _p_of(lambda level: seen_at(level).interval, min(over.p_pass, over.p_fail), ALPHA)
        low, high = seen.interval.low, seen.interval.high
        hull = Interval(min(low, over.interval.low), max(high, over.interval.high))
        return compared(hull, max(seen.p, min(1.0, 2.0 * p)))

    # without a stopping rule there is one look, whose level is the whole
    alpha = ALPHA if stop.looks == 1 else obrien_fleming(stop.looks, ALPHA).p[stop.look - 1]
    found = seen_at(alpha)
    p = _p_of(lambda level: seen_at(level).interval, min(found.p_pass, found.p_fail), alpha)
    p = p if stop.looks == 1 else repeated_p(p, stop.look, stop.looks)
    return compared(found.interval, min(1.0, 2.0 * p))


def _p_of(interval_at: Callable[[float], Interval], p: float, alpha: float) -> float:
    """The one-sided p-value that says what the interval at a level says.

    Over groups a test may reject 0 and not a difference beyond it: the interval, which has no gap,
    then holds 0, and p is the level at which it no longer does.
    """

    def excludes(level: float) -> bool:
        return not interval_at(level).low <= 0.0 <= interval_at(level).high

    if excludes(alpha) == (p < alpha):
        return p
    low, high = (alpha, 0.5 - 1e-9) if p < alpha else (0.0, alpha)
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if excludes(middle) else (middle, high)
    return low if p >= alpha else high


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
