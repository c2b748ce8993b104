"""A run: load what is asked for once, measure each gate once, and keep its evidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

from lpca.base.errors import RequestError
from lpca.base.files import StorageError, locked
from lpca.base.hashing import hash_data
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import recipe_of
from lpca.codec.recipe import Recipe
from lpca.codec.store import Obtained, Request, obtain_codec
from lpca.codec.training import Progress
from lpca.codec.user_codec import OwnCodec, Source, obtain_own
from lpca.evidence import Evidence, EvidenceError, read_evidence, write_evidence
from lpca.gate.evidence import Origin, compose
from lpca.gate.ledger import gate_ledger, gate_looks
from lpca.gate.measure import STEPS, Design, Steps, Subject, episodes_for, measure
from lpca.gate.plan import (
    beside,
    declares,
    evidence_path,
    gate_conditions,
    label_of,
    needs_control,
    task_of,
)
from lpca.gatespec.model import CODEC_LATENTS, Spec
from lpca.judge import judge
from lpca.receivers.context_limit import refuse_too_long
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import Task


class Console(Protocol):
    """Where a run says how far it is."""

    def tell(self, text: str) -> None:
        """Show one line."""
        ...

    def training(self, progress: Progress, steps: int, what: str = "codec") -> None:
        """Show a training step of what is trained."""
        ...

    def evaluating(self, label: str) -> Callable[[int, int], None]:
        """Return what shows how many outcomes of how many are there."""
        ...


@dataclass(frozen=True)
class Options:
    """What the user asked for, beside the spec; a receiver by its name, or loaded already.

    `announced` is how many codecs were declared together for the spec's test episodes.
    """

    receiver: str | Receiver
    device: str
    dtype: str
    checkpoint: Path | None
    retrain: bool
    train_seed: int | None
    batch_size: int
    cache: Path
    evidence: Path
    ledger: Path
    codec: Source | None = None
    announced: int = 1
    recipe: Recipe = field(default_factory=Recipe.default)


@dataclass(eq=False)
class Runner:
    """Measures gates; workers of one run share its evidence through files and locks."""

    spec: Spec
    options: Options
    origin: Origin
    console: Console
    steps: Steps = STEPS
    _failed: dict[Path, Exception] = field(default_factory=dict)
    _kept: dict[Path, Evidence] = field(default_factory=dict)
    _codecs: dict[tuple[int, str], Obtained] = field(default_factory=dict)
    _own: dict[int, OwnCodec] = field(default_factory=dict)
    _seconds: dict[tuple[str, int | None], float] = field(default_factory=dict)

    def evidence(
        self, name: str, k: int | None, criteria: Collection[str] | None = None
    ) -> Evidence:
        """Return a gate's evidence, measured by whichever worker of the run comes first.

        `criteria` are those the run has tests for; with some left out the gate is NOT MEASURED.
        What could not be measured is not tried again: the same error is raised.
        """
        gate = self.spec.gates[name]
        if not declares(gate, k):
            allowed = ", ".join(map(str, gate.family))
            raise RequestError(f"--k {k}: gate {name} does not declare it; allowed: {allowed}")
        path = evidence_path(self.options.evidence, name, k)
        if path in self._failed:
            raise self._failed[path]
        if path not in self._kept:
            try:
                waiting = f"{label_of(name, k)} is measured by another process; waiting for it"
                with locked(path, lambda: self.console.tell(waiting)):
                    kept = self._stored(path) or self._measured(name, k, path, criteria)
            except CodecError as error:
                # what a user's own codec does wrong is theirs to mend
                self._failed[path] = RequestError(str(error)) if self.options.codec else error
                raise self._failed[path] from error
            except Exception as error:
                self._failed[path] = error
                raise
            self._kept[path] = kept
            for other, at in beside(self.spec, gate, k):
                self._measure_beside(other, at)
        return self._kept[path]

    def evaluate_shared(self, name: str, k: int) -> None:
        """Evaluate a gate's conditions that are the same whatever the codec, and keep them.

        Of several processes that judge several codecs one computes them; the others wait. The
        codec is trained before, by each its own. Raises RunError as `evidence` does.
        """
        shared = [c for c in gate_conditions(self.spec, name) if c not in CODEC_LATENTS]
        self._evaluate(name, k, shared, "shared")

    def evaluate_all(self, name: str, k: int | None) -> int:
        """Evaluate all conditions of a gate, and keep their outcomes; return how many there are.

        Nothing is read from them, and nothing enters the ledger. Raises RunError as `evidence`
        does.
        """
        return self._evaluate(name, k, gate_conditions(self.spec, name), "all")

    def _evaluate(self, name: str, k: int | None, conditions: Sequence[str], what: str) -> int:
        gate, options = self.spec.gates[name], self.options
        design = Design(gate.answers, self.spec.episodes(gate), self.spec.task.seed)
        episodes = episodes_for(self._task, design)
        refuse_too_long(self._receiver, episodes, k or 0)
        subject = self._subject(name, k)
        label = f"{label_of(name, k)}: {', '.join(conditions)}"
        key = hash_data([subject.receiver_hash, episodes.hash(), k, list(conditions)])
        with locked(
            options.cache / "outcomes" / f"{what}-{key[:16]}",
            lambda: self.console.tell(f"{label} are evaluated by another process; waiting"),
        ):
            self.steps.evaluate(
                subject.setting(episodes, self.steps.conditions),
                conditions,
                options.cache,
                options.batch_size,
                _unless_all_there(self.console.evaluating(label)),
                self.steps.make_job,
                self.steps.run_block,
            )
        return len(episodes) * len(conditions)

    def _measure_beside(self, name: str, k: int | None) -> None:
        """A gate shown beside another takes nothing from it, also where it cannot be measured."""
        try:
            self.evidence(name, k)
        except Exception as error:
            self.console.tell(f"{name} is not measured: {error}")

    def _stored(self, path: Path) -> Evidence | None:
        if not path.exists():
            return None
        try:
            stored = read_evidence(path)
        except (StorageError, EvidenceError):
            return None
        return stored if stored.run == self.origin.run else None

    def _measured(
        self, name: str, k: int | None, path: Path, criteria: Collection[str] | None
    ) -> Evidence:
        gate = self.spec.gates[name]
        design = Design(gate.answers, self.spec.episodes(gate), self.spec.task.seed)
        # before a codec is trained for them
        refuse_too_long(self._receiver, episodes_for(self._task, design), k or 0)
        subject = self._subject(name, k)
        ledger = partial(
            gate_ledger,
            self.options.ledger,
            self.spec,
            gate,
            subject,
            announced=self.options.announced,
        )
        label = label_of(name, k)
        measurement = measure(
            subject,
            design,
            gate_conditions(self.spec, name),
            self.options.cache,
            gate_looks(self.spec, name, ledger),
            self.options.batch_size,
            self.console.evaluating(label),
            lambda: self.console.tell(f"checking the validity of {label}"),
            self.steps,
        )
        table = measurement.table
        started = time.monotonic()
        required = [judge(self.spec, other, table) for other in gate.requires]
        result = judge(self.spec, name, table, criteria, measurement.faults)
        decide = time.monotonic() - started
        seconds = {**self._spent(subject, k), **measurement.seconds, "decide": decide}
        found = compose(
            self.spec, gate, k, result, required, measurement, subject, self.origin, seconds
        )
        if (kept := ledger(measurement.episodes)) is not None:
            kept.keep(result.verdict, self.origin.run)
        write_evidence(path, found)
        # as every other worker and a later reader have it: without what JSON cannot hold
        return read_evidence(path)

    def _subject(self, name: str, k: int | None) -> Subject:
        if k is None:
            return Subject(self._receiver, self._receiver.loaded_hash, self._task)
        codec = self._codec(k)
        subject = Subject(
            self._receiver,
            self._receiver.loaded_hash,
            self._task,
            Channel(self._receiver, codec.codec, k),
            codec=codec,
        )
        if not needs_control(self.spec, name):
            return subject
        control = self._control(k, codec)
        return replace(subject, static=Channel(self._receiver, control.codec, k), control=control)

    def _spent(self, subject: Subject, k: int | None) -> dict[str, float]:
        """How long it took to come by what is measured, in seconds by step."""
        # a receiver that was handed over is not loaded here
        steps: list[tuple[str, int | None]] = [("load", None)] * (("load", None) in self._seconds)
        steps += [("codec", k)] * (subject.codec is not None)
        steps += [("control", k)] * (subject.control is not None)
        return {step: self._seconds[step, at] for step, at in steps}

    @cached_property
    def _task(self) -> Task:
        return task_of(self.spec)

    @cached_property
    def _receiver(self) -> Receiver:
        options = self.options
        if isinstance(options.receiver, Receiver):
            return options.receiver
        started = time.monotonic()
        self.console.tell(f"loading receiver {options.receiver}")
        receiver = load_receiver(options.receiver, options.device, options.dtype)
        self._seconds["load", None] = time.monotonic() - started
        return receiver

    def _codec(self, k: int) -> Obtained | OwnCodec:
        options = self.options
        if options.codec is not None:
            return self._own_codec(options.codec, k)
        request = Request(
            k,
            options.train_seed,
            options.checkpoint,
            options.retrain,
            options.recipe,
        )
        return self._obtained("codec", request)

    def _own_codec(self, source: Source, k: int) -> OwnCodec:
        if k not in self._own:
            # loaded before the codec's code runs, which might change how it is loaded
            receiver = self._receiver
            started = time.monotonic()
            self._own[k] = obtain_own(source, receiver, k)
            self._seconds["codec", k] = time.monotonic() - started
        return self._own[k]

    def _control(self, k: int, codec: Obtained | OwnCodec) -> Obtained:
        """The static prefix, trained as long as the codec was, with a seed of its own.

        How long a user's own codec was trained is not known: by default then.
        """
        recipe = recipe_of(codec.identity) if isinstance(codec, Obtained) else Recipe.default()
        return self._obtained("control", Request(k, recipe=recipe.control()))

    def _obtained(self, what: str, request: Request) -> Obtained:
        key = (request.k, what)
        if key not in self._codecs:
            self._receiver  # noqa: B018 - loaded before the clock starts
            started = time.monotonic()
            self._codecs[key] = obtain_codec(
                self._receiver,
                self._task,
                request,
                self.options.cache,
                lambda progress: self.console.training(
                    progress, request.recipe.steps, f"{what} k={request.k}"
                ),
                self.console.tell,
            )
            self._seconds[what, request.k] = time.monotonic() - started
        return self._codecs[key]


def _unless_all_there(report: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Show what is computed, and say nothing where nothing is."""
    shown = False

    def reported(done: int, total: int) -> None:
        nonlocal shown
        shown |= done < total
        if shown:
            report(done, total)

    return reported
