"""One gate's measurement: episodes, outcomes under its conditions, and the validity checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lpca.codec.channel import Channel
from lpca.conditions import Setting
from lpca.evaluate import Evaluated, evaluate
from lpca.judge import OutcomeTable
from lpca.leaks import Audit, run_checks
from lpca.receivers.model import Receiver
from lpca.records import Record
from lpca.spec.model import Answers
from lpca.tasks import EpisodeSet, Task
from lpca.validity import CheckResult


@dataclass(frozen=True, eq=False)
class Measurement:
    """Everything a verdict rests on; `seconds` are by step of the work.

    `episodes` are those that were evaluated: all that are declared, or the first of them.
    """

    episodes: EpisodeSet
    evaluated: Evaluated
    checks: tuple[CheckResult, ...]
    seconds: Mapping[str, float]

    @property
    def records(self) -> Mapping[str, Sequence[Record]]:
        """Records by condition, in the order of the episodes."""
        return self.evaluated.records

    @property
    def faults(self) -> list[str]:
        """What the validity checks found; with any, no criterion may be read."""
        return [f"{c.id}: {c.detail}" for c in self.checks if c.passed is False]

    def table(self, score: str) -> OutcomeTable:
        """Outcomes under the spec's `score`, ready to be judged."""
        return _table(self.episodes, self.evaluated, score)


@dataclass(frozen=True, eq=False)
class Looks:
    """After how many episodes outcomes are read, and whether they suffice as `score` has them."""

    sizes: Sequence[int]
    score: str
    decided: Callable[[OutcomeTable], bool]


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a receiver on a task, and a channel where conditions inject latents."""

    receiver: Receiver
    receiver_hash: str
    task: Task
    channel: Channel | None
    training_seed: int | None


def measure(
    subject: Subject,
    episodes: EpisodeSet,
    conditions: Sequence[str],
    cache: Path,
    looks: Looks,
    batch_size: int,
    report: Callable[[int, int], None],
) -> Measurement:
    """Evaluate episodes under the conditions, look by look, then audit what was evaluated.

    It ends with the last look, or before it as soon as `looks` finds the outcomes decisive.
    """
    started = time.monotonic()
    for evaluated in _look_by_look(subject, episodes, conditions, looks, cache, batch_size, report):
        seen = episodes.part(0, evaluated.n)
        if looks.decided(_table(seen, evaluated, looks.score)):
            break
    measured = time.monotonic()
    setting = Setting(subject.receiver, subject.channel, seen)
    audit = Audit(
        setting, subject.task, subject.training_seed, evaluated.records, subject.receiver_hash
    )
    checks = run_checks(audit)
    seconds = {"evaluate": measured - started, "check": time.monotonic() - measured}
    return Measurement(seen, evaluated, tuple(checks), seconds)


def episodes_for(task: Task, answers: Answers, n: int, seed: int) -> EpisodeSet:
    """Return n test episodes; for `all`, the two strata in turn, donors never across."""
    if answers != "all":
        return task.evaluation_set("test", answers, n, seed)
    seen = task.evaluation_set("test", "seen", n - n // 2, seed)
    unseen = task.evaluation_set("test", "unseen", n // 2, seed)
    # in turn, so that a gate that stops early has read both
    places = [(one, index) for index in range(len(seen)) for one in (seen, unseen)][:n]
    donors = (2 * one.donors[index] + (one is unseen) for one, index in places)
    return EpisodeSet(tuple(one.episodes[index] for one, index in places), tuple(donors))


def _look_by_look(
    subject: Subject,
    episodes: EpisodeSet,
    conditions: Sequence[str],
    looks: Looks,
    cache: Path,
    batch_size: int,
    report: Callable[[int, int], None],
) -> Iterator[Evaluated]:
    """Everything evaluated so far, after each look; only its new episodes are computed."""
    evaluated = None
    for start, stop in pairwise((0, *looks.sizes)):
        setting = Setting(subject.receiver, subject.channel, episodes.part(start, stop))
        found = evaluate(setting, conditions, cache, batch_size, report)
        evaluated = evaluated.then(found) if evaluated else found
        yield evaluated


def _table(episodes: EpisodeSet, evaluated: Evaluated, score: str) -> OutcomeTable:
    return OutcomeTable(
        seeds=tuple(episode.seed for episode in episodes),
        outcomes={
            condition: tuple(record.success(score) for record in records)
            for condition, records in evaluated.records.items()
        },
        answers=tuple(episode.stratum for episode in episodes),
    )
