"""What episodes that come in groups count for, as far as that is known before any is measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lpca.base.registry import declared
from lpca.base.tables import HUB, Limits, Record, TableError, records, value_at
from lpca.checker.rule import with_required
from lpca.gatespec.model import Criterion, Gate, Spec, cluster_of, levels_of
from lpca.stats.batch import BatchTest
from lpca.stats.claims import Claim, Decidable, Ratio, decidable

if TYPE_CHECKING:
    from lpca.stats.batch import Array
    from lpca.stats.clusters import Codes

MOST_ROWS = 100_000
LARGEST_FILE = 50_000_000
"""Bytes of a file of episodes whose groups are counted: a second's reading or so."""
SPEAKING, LONGEST = 40, 5_000
"""From so many groups on some outcome decides what episodes can; of more episodes none is tried."""
COARSE = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)
FINE = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
FINEST = tuple(step / 100 for step in range(101))
"""Shares of the episodes that are tried of a pattern: few, many, each point of a single rate."""
SLACK = 2.0
"""Other outcomes than those tried may have a somewhat smaller p-value: by a third, of thousands."""
MARKS = 10
"""A mark varies as the mean of so many right or wrong answers does, if an adversary likes."""


def groups_of(spec: Spec) -> int | None:
    """In how many groups a task's episodes come at most; None where the spec does not say.

    Of a user's own episodes those of the whole file: its test split has fewer.
    """
    told = declared("lpca.tasks.kinds").get(spec.task.name, {}).get("groups")
    if told is not None:
        return int(told)
    file = spec.task.settings.get("file")
    if spec.task.name != "episodes" or not isinstance(file, str) or file.startswith(HUB):
        return None
    settings = spec.task.settings
    paths = tuple(str(settings.get(f"map.{name}", "")) for name in ("group", "message"))
    path = Path(spec.file).parent / file
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    if not path.is_file() or found.st_size > LARGEST_FILE:
        return None
    return _groups_in(path, paths, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=16)
def _groups_in(path: Path, paths: tuple[str, str], _size: int, _changed: int) -> int | None:
    """The groups that rows of a file name, a row's message where it names none."""
    group, message = paths if any(paths) else ("group", "message")
    try:
        rows = records(path, Limits(LARGEST_FILE, LARGEST_FILE, MOST_ROWS))
        held = [one.held for one in rows if isinstance(one, Record)]
        return len({_group_of(row, group) or str(value_at(row, message)) for row in held}) or None
    except (TableError, LookupError):
        return None  # what is wrong with the file is said where it is read


def _group_of(held: Mapping[str, Any], path: str) -> str:
    try:
        return str(value_at(held, path) or "") if path else ""
    except LookupError:
        return ""


@dataclass(frozen=True)
class Alike:
    """Groups of one size whose episodes are alike, as `expect: {icc: ...}` supposes.

    Args:
        groups: how many there are.
        n: episodes in all of them.
        icc: the correlation within a group.
    """

    groups: int
    n: int
    icc: float

    @classmethod
    def of(cls, spec: Spec, gate: Gate) -> Alike | None:
        """Those of a gate; None where nothing is supposed, or nothing known of groups."""
        groups, n = groups_of(spec), spec.episodes(gate)
        icc = max(one.icc for one in with_required(spec, gate))
        return None if groups is None or groups >= n or not icc else cls(groups, n, icc)

    @property
    def effect(self) -> float:
        """By how much fewer episodes count (Kish 1965)."""
        return 1.0 + (self.n / self.groups - 1.0) * self.icc

    def among(self, episodes: int) -> int:
        """How many of the groups the first so many episodes come in."""
        return min(self.groups, max(1, round(self.groups * episodes / self.n)))

    def scale(self, level: float, episodes: int) -> float:
        """What a standard score is multiplied by to be held against the normal distribution.

        The square root of the design effect, and Student's quantile in place of the normal one: as
        the judge decides, if it knew the correlation.
        """
        from scipy.special import ndtri, stdtrit

        held = 0.5 + level / 2.0
        freedom = self.among(episodes) - 1.0
        if freedom < 1.0:
            return 0.0
        return float(ndtri(held) / stdtrit(freedom, held)) / math.sqrt(self.effect)


def scale_of(criterion: Criterion, spec: Spec, alike: Alike | None, episodes: int) -> float:
    """`Alike.scale` of a criterion; 1 where its episodes are decided each by itself."""
    if alike is None or cluster_of(criterion, spec.evaluation) == "none":
        return 1.0
    level = levels_of(criterion, spec.evaluation)[criterion.claim.is_two_sided]
    return alike.scale(level, episodes)


def design_effect(spec: Spec, gate: Gate, criterion: Criterion) -> float:
    """By how much fewer episodes count where groups of them are alike, as `expect: icc` says."""
    alike = Alike.of(spec, gate)
    if alike is None or cluster_of(criterion, spec.evaluation) == "none":
        return 1.0
    return alike.effect


def readings(spec: Spec, gate: Gate, marks: bool = False) -> tuple[Spec, Gate]:
    """The same with an episode for each reading: as much as repeats can show, if each differs.

    With `marks`, graded answers count for several too: marks may all lie near their mean.
    """
    each = spec.evaluation.repeats
    if marks and spec.evaluation.score == "graded":
        each *= MARKS
    if each == 1:
        return spec, gate
    gates = dict(spec.gates)
    for one in with_required(spec, gate):
        rule = one.sequential
        if rule is not None and rule.block is not None:
            rule = replace(rule, block=rule.block * each)
        gates[one.name] = replace(one, n=spec.episodes(one) * each, sequential=rule)
    return replace(spec, gates=gates), gates[gate.name]


@lru_cache(maxsize=1024)
def can_decide(claim: Claim, n: int, groups: int, level: float) -> bool:
    """Whether some outcome of n episodes in so many groups of one size shows a claim.

    Tried are outcomes spread evenly over the groups, which look least alike: of each pattern some
    shares of the episodes.

    Args:
        claim: one that a sound method decides.
        n: how many episodes.
        groups: how many groups.
        level: the two-sided confidence, or that of both tests of a claim with two bounds.

    Returns:
        False where none comes near to showing it, by the judge's own test over groups.
    """
    if groups < 2:
        return False
    if groups >= min(SPEAKING, n) or n > LONGEST:
        return True
    asked = decidable(claim)
    test = BatchTest.of(asked)
    for shares in (COARSE, FINEST if test.kinds == 2 else FINE):
        kinds = _spread(test, n, groups, shares)
        shown = np.ones(len(kinds), dtype=bool)
        for bound, sign in ((asked.region.low, 1.0), (asked.region.high, -1.0)):
            if math.isfinite(bound):
                tails = _tails(asked, kinds, n, groups, bound, sign)
                shown &= tails < SLACK * (1.0 - level) / 2.0
        if shown.any():
            return True
    return False


def _spread(test: BatchTest, n: int, groups: int, shares: Sequence[float]) -> Codes:
    """[tables, n]: kinds of episodes in the order of groups, in some shares."""
    tables = []
    for parts in product(shares, repeat=min(test.kinds - 1, 2)):
        if sum(parts) > 1.0:
            continue
        ends = np.round(np.cumsum(parts) * n)
        for first in range(0, test.kinds - len(parts)):
            tables.append(first + (np.arange(n)[:, None] >= ends).sum(axis=1))
    # one after the other into each group in turn: no group has more of a kind than another
    order = np.argsort(np.arange(n) % groups, kind="stable")
    return np.stack(tables)[:, order].astype(np.intp)


def _tails(claim: Decidable, kinds: Codes, n: int, groups: int, bound: float, sign: float) -> Array:
    """[tables]: the tail probability on one side of a bound."""
    from lpca.stats.clusters import Clusters, Tally, scores, upper_tail

    sizes = np.bincount(np.arange(n) % groups)
    clusters = Clusters(np.repeat(np.arange(groups), sizes))
    values, margin = _values(claim, bound)
    worth, same = np.unique(values, return_inverse=True)
    tally = Tally(same[kinds], len(worth), clusters)
    margins, table = np.full(len(kinds), margin), np.broadcast_to(worth, (len(kinds), len(worth)))
    effect = tally.design_effect(table, margins)
    z = sign * scores(table, tally.total.astype(float), margins)
    return upper_tail(z, effect, clusters.freedom(effect))


def _values(claim: Decidable, bound: float) -> tuple[Array, float]:
    """By kind of `BatchTest` what an episode is worth, and the mean it is held to."""
    test, margin = BatchTest.of(claim), bound
    if isinstance(claim, Ratio):
        test, margin = BatchTest.of(replace(claim, ratio=bound)), 0.0
    return np.array(test.values, dtype=float), margin
