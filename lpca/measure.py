"""One gate's measurement: episodes, outcomes under its conditions, and the validity checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    """Everything a verdict rests on; `seconds` by step of the work."""

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
        return OutcomeTable(
            seeds=tuple(episode.seed for episode in self.episodes),
            outcomes={
                condition: tuple(record.success(score) for record in records)
                for condition, records in self.records.items()
            },
            answers=tuple(episode.stratum for episode in self.episodes),
        )


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
    batch_size: int,
    report: Callable[[int, int], None],
) -> Measurement:
    """Evaluate the episodes under the conditions, then audit what was evaluated."""
    setting = Setting(subject.receiver, subject.channel, episodes)
    started = time.monotonic()
    evaluated = evaluate(setting, conditions, cache, batch_size, report)
    measured = time.monotonic()
    audit = Audit(
        setting, subject.task, subject.training_seed, evaluated.records, subject.receiver_hash
    )
    checks = run_checks(audit)
    seconds = {"evaluate": measured - started, "check": time.monotonic() - measured}
    return Measurement(episodes, evaluated, tuple(checks), seconds)


def episodes_for(task: Task, answers: Answers, n: int, seed: int) -> EpisodeSet:
    """Return n test episodes; for `all`, half of them of each stratum, donors never across."""
    if answers != "all":
        return task.evaluation_set("test", answers, n, seed)
    seen = task.evaluation_set("test", "seen", n - n // 2, seed)
    unseen = task.evaluation_set("test", "unseen", n // 2, seed)
    donors = (*seen.donors, *(donor + len(seen) for donor in unseen.donors))
    return EpisodeSet((*seen.episodes, *unseen.episodes), donors)
