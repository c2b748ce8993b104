"""One gate's measurement: episodes, outcomes under its conditions, and the validity checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lpca.codec.channel import Channel
from lpca.codec.checkpoint import Identity
from lpca.codec.store import DEFAULT_SEED, Obtained
from lpca.codec.user_codec import OwnCodec
from lpca.evaluation.block import MakeJob, RunBlock, make_job, run_block
from lpca.evaluation.condition_numbers import condition_numbers
from lpca.evaluation.conditions import Setting, SlotMaker, encode_messages
from lpca.evaluation.evaluate import Evaluated, evaluate
from lpca.evaluation.outcome import Outcome
from lpca.evidence import CheckResult
from lpca.gatespec.model import Answers
from lpca.judge import OutcomeTable
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet, Task
from lpca.validity.audit import Audit
from lpca.validity.catalogue import run_checks
from lpca.validity.ledger import GateLedger

MEAN_MESSAGES = 256
"""How many messages of training the condition `mean` takes the mean over."""


def outcome_table(episodes: EpisodeSet, evaluated: Evaluated, score: str) -> OutcomeTable:
    """Return the outcomes under the spec's `score`, ready to be judged."""
    return OutcomeTable(
        seeds=tuple(episode.seed for episode in episodes),
        outcomes={
            condition: tuple(outcome.success(score) for outcome in outcomes)
            for condition, outcomes in evaluated.outcomes.items()
        },
        answers=tuple(episode.stratum for episode in episodes),
    )


@dataclass(frozen=True, eq=False)
class Steps:
    """What a measurement does, step by step; each may be exchanged for another of its kind.

    Here a fault is planted on purpose, an error provoked, or a call counted: nothing else of a run
    needs to be changed for it. Whatever is exchanged, the validity checks see what came of it.

    Attributes:
        conditions: by name, what gives B something else than the condition's own function does.
        make_job: names a block's outcomes by what they depend on.
        run_block: computes a block's outcomes; the checks compute some of them again by it.
        evaluate: every episode under every condition, from the cache or computed.
        outcome_table: what is judged, of what was evaluated.
        condition_numbers: what evidence reports of a condition.
    """

    conditions: Mapping[str, SlotMaker] = field(default_factory=dict)
    make_job: MakeJob = make_job
    run_block: RunBlock = run_block
    evaluate: Callable[..., Evaluated] = evaluate
    outcome_table: Callable[[EpisodeSet, Evaluated, str], OutcomeTable] = outcome_table
    condition_numbers: Callable[..., dict[str, Any]] = condition_numbers


STEPS = Steps()
"""Those of a sound run."""


@dataclass(frozen=True)
class Design:
    """Which episodes are measured: n of a stratum, named by the task's seed."""

    answers: Answers
    n: int
    seed: int


@dataclass(frozen=True, eq=False)
class Measurement:
    """Everything a verdict rests on; `seconds` are by step of the work.

    `episodes` are those that were evaluated: all that are declared, or the first of them; `table`
    holds their outcomes under the spec's score, ready to be judged; `numbers` are what evidence
    reports of each condition.
    """

    episodes: EpisodeSet
    evaluated: Evaluated
    table: OutcomeTable
    checks: tuple[CheckResult, ...]
    seconds: Mapping[str, float]
    numbers: Mapping[str, Mapping[str, Any]]

    @property
    def outcomes(self) -> Mapping[str, Sequence[Outcome]]:
        """Records by condition, in the order of the episodes."""
        return self.evaluated.outcomes

    @property
    def faults(self) -> list[str]:
        """What the validity checks found; with any, no criterion may be read."""
        return [f"{c.id}: {c.detail}" for c in self.checks if c.passed is False]


@dataclass(frozen=True, eq=False)
class Looks:
    """After how many episodes outcomes are read, and what a verdict on them would be.

    `decided` tells whether they suffice as `score` has them, `passes(table, count)` whether the
    gate passes with its alpha divided by a count, `ledger` what is known of earlier looks at them;
    `confidence` is that of the intervals of success rates.
    """

    sizes: Sequence[int]
    score: str
    decided: Callable[[OutcomeTable], bool]
    passes: Callable[[OutcomeTable, int], bool] = lambda table, count: False
    ledger: Callable[[EpisodeSet], GateLedger | None] = lambda episodes: None
    confidence: float = 0.95


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a receiver on a task, and codecs where conditions inject latents.

    `channel` is under test, `static` is the control that ignores messages.
    """

    receiver: Receiver
    receiver_hash: str
    task: Task
    channel: Channel | None = None
    static: Channel | None = None
    codec: Obtained | OwnCodec | None = None
    control: Obtained | None = None

    @property
    def trained(self) -> Identity | None:
        """The training run that the codec's weights follow from; None where it is not lpca's."""
        return self.codec.identity if isinstance(self.codec, Obtained) else None

    @property
    def encoding_seconds(self) -> float:
        """How long its channels have encoded messages."""
        return sum(one.seconds for one in (self.channel, self.static) if one is not None)

    def setting(
        self, episodes: EpisodeSet, exchanged: Mapping[str, SlotMaker] = MappingProxyType({})
    ) -> Setting:
        """What the slots of these episodes are made from; `exchanged` as for `Setting`."""
        seed = self.trained.seed if self.trained else DEFAULT_SEED
        training = self.task.training_batch(0, MEAN_MESSAGES, seed) if self.channel else []
        return Setting(
            self.receiver,
            self.channel,
            episodes,
            self.static,
            tuple(episode.message for episode in training),
            exchanged,
        )


def measure(
    subject: Subject,
    design: Design,
    conditions: Sequence[str],
    cache: Path,
    looks: Looks,
    batch_size: int,
    report: Callable[[int, int], None],
    checking: Callable[[], None] = lambda: None,
    steps: Steps = STEPS,
) -> Measurement:
    """Evaluate episodes under the conditions, look by look, then audit what was evaluated.

    It ends with the last look, or before it as soon as `looks` finds the outcomes decisive.
    `checking` is called when the audit begins.
    """
    started = time.monotonic()
    episodes = episodes_for(subject.task, design)
    for evaluated in _look_by_look(
        subject, episodes, conditions, looks, cache, batch_size, report, steps
    ):
        seen = episodes.part(0, evaluated.n)
        table = steps.outcome_table(seen, evaluated, looks.score)
        if looks.decided(table):
            break
    measured = time.monotonic()
    encoding = subject.encoding_seconds
    checking()
    setting = subject.setting(seen, steps.conditions)
    numbers = {
        condition: steps.condition_numbers(condition, outcomes, looks.confidence, setting)
        for condition, outcomes in evaluated.outcomes.items()
    }
    checks = run_checks(_audit(subject, design, setting, evaluated, table, looks, numbers, steps))
    seconds = {
        "encode": encoding,
        "evaluate": measured - started - encoding,
        "check": time.monotonic() - measured,
    }
    return Measurement(seen, evaluated, table, tuple(checks), seconds, numbers)


def episodes_for(task: Task, design: Design) -> EpisodeSet:
    """Return a design's test episodes."""
    return task.evaluation_set("test", design.answers, design.n, design.seed)


def _own_cache(subject: Subject, cache: Path) -> Path:
    """Outcomes are kept by the receiver's stored weights: one that changed has its own place."""
    now = subject.receiver.state_hash()
    return cache if now == subject.receiver_hash else cache / "changed" / now


def _audit(
    subject: Subject,
    design: Design,
    setting: Setting,
    evaluated: Evaluated,
    table: OutcomeTable,
    looks: Looks,
    numbers: Mapping[str, Mapping[str, Any]],
    steps: Steps,
) -> Audit:
    return Audit(
        setting=setting,
        task=subject.task,
        outcomes=evaluated.outcomes,
        receiver_hash=subject.receiver_hash,
        score=looks.score,
        table=table,
        # asked of the task once more: what was evaluated may have been picked over
        declared=tuple(episode.seed for episode in episodes_for(subject.task, design)),
        sizes=tuple(looks.sizes),
        trained=subject.trained,
        own=subject.codec if isinstance(subject.codec, OwnCodec) else None,
        static_trained=subject.control.identity if subject.control else None,
        ledger=looks.ledger(setting.episodes),
        numbers=numbers,
        passes=lambda count: looks.passes(table, count),
        run_block=steps.run_block,
    )


def _look_by_look(
    subject: Subject,
    episodes: EpisodeSet,
    conditions: Sequence[str],
    looks: Looks,
    cache: Path,
    batch_size: int,
    report: Callable[[int, int], None],
    steps: Steps,
) -> Iterator[Evaluated]:
    """Everything evaluated so far, after each look; only its new episodes are computed."""
    evaluated = None
    for start, stop in pairwise((0, *looks.sizes)):
        setting = subject.setting(episodes.part(start, stop), steps.conditions)
        # what a codec does to the receiver while it encodes is done before an outcome is kept
        encode_messages(conditions, setting)
        found = steps.evaluate(
            setting,
            conditions,
            _own_cache(subject, cache),
            batch_size,
            report,
            steps.make_job,
            steps.run_block,
        )
        evaluated = evaluated.then(found) if evaluated else found
        yield evaluated
