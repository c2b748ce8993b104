"""A sound run, laid out so that one thing in it can be changed."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lpca.base.errors import RequestError
from lpca.checker.check import check_spec
from lpca.codec.base import Codec
from lpca.codec.channel import Channel
from lpca.codec.recipe import Recipe
from lpca.codec.store import Obtained, Request, obtain_codec
from lpca.codec.training import Progress
from lpca.evaluation.conditions import SlotMaker
from lpca.gate.measure import STEPS, Measurement, Steps, Subject, gate_ledger, measure
from lpca.gate.plan import gate_episodes, task_of
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Criterion, Gate, Spec
from lpca.judge import judge
from lpca.receivers.model import Receiver
from lpca.stats import Verdict
from lpca.tasks import EpisodeSet, Task

GATE, K = "sound", 4


@dataclass(frozen=True)
class Result:
    """What a run on a stage came to.

    `refused` holds what refused it before it began, `fired` the validity checks that failed,
    `not_passed` the criteria, those of the required gate included, that were read and did not pass.
    """

    verdict: str
    refused: frozenset[str] = frozenset()
    fired: frozenset[str] = frozenset()
    not_passed: frozenset[str] = frozenset()
    details: tuple[str, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)


@dataclass
class Stage:
    """A sound run's parts, to be changed before `decide`; a stage serves one sabotage.

    `conditions` are those that are evaluated where they are not all of the gate's: a fault that a
    check finds needs no more than the check reads.
    """

    receiver: Receiver
    receiver_hash: str
    task: Task
    spec: Spec
    codec: Obtained
    control: Obtained
    cache: Path
    ledger: Path
    codec_cache: Path
    batch_size: int = 32
    channel_codec: Codec | None = None
    static_codec: Codec | None = None
    checkpoint: Request | None = None
    steps: Steps = STEPS
    conditions: Sequence[str] | None = None

    @property
    def gate(self) -> Gate:
        """The gate that is decided."""
        return self.spec.gates[GATE]

    def exchange(self, **steps: Any) -> None:
        """Put something else in the place of steps that outcomes do not depend on."""
        self.steps = replace(self.steps, **steps)

    def exchange_evaluation(self, **steps: Any) -> None:
        """The same where outcomes depend on it: none that was kept before is then believed."""
        self.exchange(**steps)
        self.forget_outcomes()

    def forget_outcomes(self) -> None:
        """Believe no outcome that was kept before."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def condition(self, name: str, make: SlotMaker) -> None:
        """Let a condition give B something else."""
        self.exchange(conditions={**self.steps.conditions, name: make})

    def change_gate(self, **changes: Any) -> None:
        """Write something else in the gate's spec."""
        gates = {**self.spec.gates, GATE: replace(self.gate, **changes)}
        self.spec = replace(self.spec, gates=gates)

    def change_criterion(self, name: str, **changes: Any) -> None:
        """Write something else in one criterion."""

        def changed(one: Criterion) -> Criterion:
            return replace(one, **changes) if one.id == name else one

        self.change_gate(criteria=tuple(map(changed, self.gate.criteria)))

    def own_receiver(self) -> None:
        """Take a copy of the receiver, which may be changed."""
        self.receiver = replace(self.receiver, model=copy.deepcopy(self.receiver.model))

    def decide(self) -> Result:
        """Run the gate: check its spec, measure, audit, judge, and keep the look."""
        errors = [one.rule for one in check_spec(self.spec) if one.severity == "error"]
        if errors:
            return Result("REFUSED", refused=frozenset(errors))
        try:
            measurement = self._measured()
        except RequestError as error:
            return Result("REFUSED", refused=frozenset({"checkpoint_fits"}), details=(str(error),))
        return self._judged(measurement)

    def _measured(self) -> Measurement:
        if self.checkpoint is not None:
            obtain_codec(
                self.receiver, self.task, self.checkpoint, self.codec_cache, _silent, _silent
            )
        self.subject = self._subject()
        gate = replace(self.gate, conditions=tuple(self.conditions or self.gate.conditions))
        return measure(
            replace(self.spec, gates={**self.spec.gates, GATE: gate}),
            GATE,
            self.subject,
            self.cache,
            self.ledger,
            batch_size=self.batch_size,
            steps=self.steps,
        )

    def remember(self, verdict: Verdict = Verdict.FAIL) -> None:
        """Keep a look at this run in the ledger without running it."""
        self._keep(self._subject(), gate_episodes(self.spec, self.gate, self.task), verdict)

    def _keep(self, subject: Subject, episodes: EpisodeSet, verdict: Verdict) -> None:
        ledger = gate_ledger(self.ledger, self.spec, GATE, subject, episodes)
        assert ledger is not None, "there is a codec on every stage"
        ledger.keep(verdict, "sabotage")

    def _judged(self, measurement: Measurement) -> Result:
        result = judge(self.spec, GATE, measurement.table, faults=measurement.faults)
        required = [judge(self.spec, name, measurement.table) for name in self.gate.requires]
        self._keep(self.subject, measurement.episodes, result.verdict)
        criteria = [one for gate in (*required, result) for one in gate.criteria]
        failed = [check for check in measurement.checks if check.passed is False]
        return Result(
            verdict=str(result.verdict),
            fired=frozenset(check.id for check in failed),
            not_passed=frozenset(
                one.id for one in criteria if one.verdict in ("FAIL", "INCONCLUSIVE")
            ),
            details=tuple(f"{check.id}: {check.detail}" for check in failed),
            rates={name: measurement.table.rate(name) for name in measurement.table.outcomes},
        )

    def _subject(self) -> Subject:
        codec = self.channel_codec or self.codec.codec
        static = self.static_codec or self.control.codec
        return Subject(
            self.receiver,
            self.receiver_hash,
            self.task,
            Channel(self.receiver, codec, self.codec.identity.k),
            Channel(self.receiver, static, self.control.identity.k),
            self.codec,
            self.control,
        )


@dataclass(frozen=True)
class Theatre:
    """Builds stages: the receiver is loaded and the sound codecs are trained once."""

    receiver: Receiver
    cache: Path
    spec: Spec = field(
        default_factory=lambda: load_spec(str(files("lpca.sabotage").joinpath("gate.yaml")))
    )

    @contextmanager
    def stage(self, train_seed: int = 0, k: int = K) -> Iterator[Stage]:
        """A sound run, with caches and a ledger of its own."""
        task = task_of(self.spec)
        codec = self._obtain(task, Request(k, train_seed))
        control = self._obtain(task, Request(k, recipe=Recipe.default().control()))
        with TemporaryDirectory() as scratch:
            own = Path(scratch) / "cache"
            kept = self.cache / "outcomes"
            if kept.exists():
                shutil.copytree(kept, own / "outcomes")
            yield Stage(
                self.receiver,
                self.receiver.state_hash(),
                task,
                self.spec,
                codec,
                control,
                own,
                Path(scratch) / "ledger",
                self.cache,
            )

    def warm_up(self) -> Result:
        """Decide the sound run, keeping its outcomes for the stages to come."""
        with self.stage() as stage:
            stage.cache = self.cache
            return stage.decide()

    def _obtain(self, task: Task, request: Request) -> Obtained:
        return obtain_codec(self.receiver, task, request, self.cache, _silent, _silent)


def _silent(_: Progress | str) -> None:
    pass
