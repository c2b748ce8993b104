"""A sound run, laid out so that one thing in it can be changed."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lpca.base.errors import RequestError
from lpca.checker.check import check_spec
from lpca.codec.base import Codec
from lpca.codec.channel import Channel
from lpca.codec.ends import PacketSides
from lpca.codec.recipe import Recipe
from lpca.codec.store import Obtained, Request, obtain_codec
from lpca.codec.training import Progress
from lpca.evaluation.conditions import SlotMaker
from lpca.gate.measure import STEPS, Measurement, Steps, Subject, look_at, measured
from lpca.gate.plan import gate_episodes, task_of
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Criterion, Gate, Spec
from lpca.judge.decide import judge
from lpca.receivers.model import Receiver
from lpca.receivers.self_test import prove_for
from lpca.stats.verdicts import Verdict
from lpca.tasks import EpisodeSet, Task
from lpca.validity.ledger import GateLedger

GATE, K = "sound", 4

RUN = "sabotage"
"""What the ledger calls these runs."""


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Args:
        verdict: of the gate; REFUSED where it did not begin.
        refused: the checker's rules and refusals that turned it away.
        fired: the validity checks that failed.
        not_passed: the criteria, those of the required gate included, that were read and did not
            pass.
        details: what the checks that failed, or the refusal, say.
        rates: success by condition.
    """

    verdict: str
    refused: frozenset[str] = frozenset()
    fired: frozenset[str] = frozenset()
    not_passed: frozenset[str] = frozenset()
    details: tuple[str, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)


@dataclass
class FaultyRun:
    """A sound run's parts, to be changed before `decide`; it serves one sabotage.

    Args:
        receiver: the model that plays B.
        receiver_hash: its state when it was loaded.
        task: makes the episodes.
        spec: the gate that is decided, with the one it requires.
        codec: the sound codec, with the training that it follows from.
        control: the same of the prefix that ignores messages.
        cache: where outcomes are kept.
        ledger: where readings are kept.
        codec_cache: where the sound codecs are kept.
        channel_codec: stands in the codec's place, whose training is still claimed.
        static_codec: the same for the control.
        checkpoint: a codec that is asked for before the run begins.
        steps: what a measurement does; `exchange` puts others in their place.
        conditions: those that are evaluated where they are not all of the gate's: a fault that a
            check finds needs no more than the check reads.
        checks: those that are carried out where that is not all of them.
        undone: what a fault changes beside this run, to be put back after it.
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
    channel_codec: Codec | PacketSides | None = None
    static_codec: Codec | None = None
    checkpoint: Request | None = None
    steps: Steps = STEPS
    conditions: Sequence[str] | None = None
    checks: Collection[str] | None = None
    undone: ExitStack = field(default_factory=ExitStack)

    @property
    def gate(self) -> Gate:
        """The gate that is decided."""
        return self.spec.gates[GATE]

    @property
    def k(self) -> int:
        """The number of latents."""
        return self.codec.identity.k

    def test_episodes(self) -> EpisodeSet:
        """The gate's test episodes, as its task has them now."""
        return gate_episodes(self.spec, self.gate, self.task)

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
        """Run the gate: check its spec, measure, audit, judge, and keep the reading."""
        errors = [one.rule for one in check_spec(self.spec) if one.severity == "error"]
        if errors:
            return Result("REFUSED", refused=frozenset(errors))
        try:
            prove_for(self.receiver, self.test_episodes(), self.k)
            if self.receiver.proof.plain:
                why = self.receiver.proof.batched
                return Result("REFUSED", refused=frozenset({"self_test"}), details=(why,))
            if self.checkpoint is not None:
                obtain(self.receiver, self.task, self.checkpoint, self.codec_cache)
            gate = replace(self.gate, conditions=tuple(self.conditions or self.gate.conditions))
            spec = replace(self.spec, gates={**self.spec.gates, GATE: gate})
            own = (spec, GATE, self._subject(), self.cache, self.ledger)
            with measured(*own, steps=self.steps, checks=self.checks) as measurement:
                return self._judged(measurement)
        except RequestError as error:
            return Result("REFUSED", refused=frozenset({"checkpoint_fits"}), details=(str(error),))

    def _judged(self, measurement: Measurement) -> Result:
        failed = measurement.failed_checks
        faults = [check.id for check in failed] if self.checks else measurement.faults
        result = judge(self.spec, GATE, measurement.table, faults=faults)
        required = [judge(self.spec, name, measurement.table) for name in self.gate.requires]
        assert measurement.ledger is not None, "every one of these runs has a codec"
        measurement.ledger.keep(result.verdict, RUN)
        criteria = [criterion for gate in (*required, result) for criterion in gate.criteria]
        return Result(
            verdict=str(result.verdict),
            fired=frozenset(check.id for check in failed),
            not_passed=frozenset(
                criterion.id
                for criterion in criteria
                if criterion.verdict in ("FAIL", "INCONCLUSIVE")
            ),
            details=tuple(f"{check.id}: {check.detail}" for check in failed),
            rates={name: measurement.table.rate(name) for name in measurement.table.outcomes},
        )

    def remember(self, verdict: Verdict = Verdict.FAIL, **changes: Any) -> None:
        """Keep a look of this run in the ledger without running it; `changes` to its entry."""
        looked = look_at(self.spec, GATE, self._subject(), self.test_episodes())
        now = replace(looked, **changes)
        limit = self.spec.evaluation.checkpoints
        with GateLedger.opened(self.ledger, now, limit) as ledger:
            ledger.keep(verdict, RUN)

    def _subject(self) -> Subject:
        codec = self.channel_codec or self.codec.codec
        static = self.static_codec or self.control.codec
        return Subject(
            self.receiver,
            self.receiver_hash,
            self.task,
            Channel(self.receiver, codec, self.k),
            Channel(self.receiver, static, self.control.identity.k),
            self.codec,
            self.control,
        )


@dataclass(frozen=True)
class SoundParts:
    """What sound runs are made of: the receiver is loaded and the codecs are trained once.

    Args:
        receiver: the model that plays B.
        cache: where the sound run's outcomes are kept, and codecs where `codecs` is None.
        codecs: a cache in which others' codecs are too.
        spec: the gate that is decided; by default the one of this package.
    """

    receiver: Receiver
    cache: Path
    codecs: Path | None = None
    spec: Spec = field(
        default_factory=lambda: load_spec(str(files("lpca.sabotage").joinpath("gate.yaml")))
    )

    @contextmanager
    def run(self, train_seed: int = 0) -> Iterator[FaultyRun]:
        """A sound run, with caches and a ledger of its own."""
        task, codecs = task_of(self.spec), self.codecs or self.cache
        codec = obtain(self.receiver, task, Request(K, train_seed), codecs)
        static = Request(K, recipe=Recipe().control())
        control = obtain(self.receiver, task, static, codecs)
        with TemporaryDirectory() as scratch:
            own, kept = Path(scratch) / "cache", self.cache / "outcomes"
            if kept.exists():
                shutil.copytree(kept, own / "outcomes")
            faulty = FaultyRun(
                self.receiver,
                self.receiver.state_hash(),
                task,
                self.spec,
                codec,
                control,
                own,
                Path(scratch) / "ledger",
                codecs,
            )
            with faulty.undone:
                yield faulty

    def warm_up(self) -> Result:
        """Decide the sound run, keeping its outcomes for the runs to come."""
        with self.run() as run:
            run.cache = self.cache
            return run.decide()


def obtain(receiver: Receiver, task: Task, request: Request, cache: Path) -> Obtained:
    """Train a codec, or take it from the cache, without a word."""

    def silent(_: Progress | str) -> None:
        pass

    return obtain_codec(receiver, task, request, cache, silent, silent)
