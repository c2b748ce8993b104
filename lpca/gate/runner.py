"""A run: load what is asked for once, measure each gate once, and keep its evidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, cast

from lpca.base.arguments import AUTO, NO_MAP, loading
from lpca.base.errors import RequestError, RunError, shown_error
from lpca.base.files import StorageError, locked
from lpca.base.hashing import hash_data
from lpca.base.supervise import is_interrupt
from lpca.channel.side import Wall, begin_server
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.checkpoint import recipe_of
from lpca.codec.recipe import Recipe
from lpca.codec.remote import SERVE
from lpca.codec.store import Obtained, Request
from lpca.codec.training import Progress
from lpca.codec.user_codec import FilePackets, OwnCodec, Source, obtain_own, obtain_packets
from lpca.evidence.files import as_read, write_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence
from lpca.evidence.runs import keep_run, name_latest
from lpca.gate.evidence import Origin, compose
from lpca.gate.measure import STEPS, Steps, Subject, measured, unless_all_there
from lpca.gate.plan import (
    GateKey,
    declares,
    evidence_path,
    files_of,
    gate_conditions,
    gate_episodes,
    label_of,
    needs_codec,
    needs_control,
    on_validation,
    shown_with,
    task_of,
)
from lpca.gate.views import views_of
from lpca.gatespec.model import CODEC_LATENTS, Spec
from lpca.judge.decide import explored, judge, judge_required
from lpca.judge.stored import read_stored
from lpca.receivers.load import load_outline, load_receiver
from lpca.receivers.model import Receiver, control_names, refuse_too_long
from lpca.receivers.self_test import prove_for
from lpca.tasks import Task
from lpca.validity.ledger import draw_seed

T = TypeVar("T")
TEMPLATE = "prompt: {template: chat} in the spec writes a chat with control tokens"
LONG = 10_000
"""A message that is longer is only shown shortened."""


class Console(Protocol):
    """Where a run says how far it is."""

    def tell(self, text: str) -> None:
        """Show one line."""

    def training(self, progress: Progress, steps: int, what: str = "codec") -> None:
        """Show a training step of what is trained."""

    def evaluating(self, label: str) -> Callable[[int, int], None]:
        """Return what shows how many outcomes of how many are there."""


@dataclass(frozen=True)
class Options:
    """What the user asked for, beside the spec.

    Attributes:
        receiver: by its name, or loaded already.
        device: as for `load_receiver`, as `dtype` is.
        dtype: the type in which the receiver computes.
        attn: how it computes attention.
        device_map: how it is divided among devices.
        batch_size: episodes at a time, at most.
        cache: where codecs and outcomes are kept.
        evidence: where evidence goes.
        ledger: where ledgers stand.
        checkpoint: a codec's folder; None to take one that fits, or train it.
        retrain: train a codec, whatever there is.
        train_seed: that of the training; None for any that is shipped, else 0.
        train_seeds: those at which one recipe is trained and judged, where all of them must hold.
        codec: the user's own, in place of one of lpca's.
        packets: a file of packets made elsewhere, in place of a codec.
        split: the episodes that are read; those of validation decide nothing.
        kept: where evidence of this run goes as well, which no other run replaces.
        runs: where every run's evidence goes as well, by what it holds.
        recipe: how a codec of lpca's is made and trained.
        wall: how the sides of the user's own codec are kept apart; None to run it in this process.
    """

    receiver: str | Receiver
    device: str
    dtype: str
    batch_size: int
    cache: Path
    evidence: Path
    ledger: Path
    checkpoint: Path | None = None
    retrain: bool = False
    train_seed: int | None = None
    train_seeds: tuple[int, ...] = ()
    codec: Source | None = None
    packets: Path | None = None
    split: Literal["test", "validation"] = "test"
    kept: Path | None = None
    runs: Path | None = None
    recipe: Recipe = field(default_factory=Recipe)
    attn: str = AUTO
    device_map: str = NO_MAP
    wall: Wall | None = None


@dataclass(eq=False)
class Runner:
    """Measures gates; workers of one run share its evidence through files and locks.

    Attributes:
        spec: the spec whose gates are measured.
        options: what else the user asked for.
        origin: which run this is.
        console: where it says how far it is.
        steps: what it does, where something else than in a sound run.
    """

    spec: Spec
    options: Options
    origin: Origin
    console: Console
    # looked up when a runner is made: whoever exchanges steps of all runs need not make them
    steps: Steps = field(default_factory=lambda: STEPS)
    _failed: dict[Path, Exception] = field(default_factory=dict)
    _kept: dict[Path, Evidence] = field(default_factory=dict)
    _made: dict[tuple[str, int | None], Any] = field(default_factory=dict)
    _seconds: dict[tuple[str, int | None], float] = field(default_factory=dict)
    _by_seed: dict[int, Runner] = field(default_factory=dict)

    def refuse_unreadable(self, keys: Iterable[GateKey]) -> None:
        """Refuse all gates of a run where the receiver cannot read one, before any is measured.

        Args:
            keys: the gates, each with its k.

        Raises:
            RequestError: an episode is too long, say, as `evidence` would find later.
        """
        every = dict.fromkeys((key.gate, key.k) for key in keys)
        asked = [(name, k) for name, k in every if declares(self.spec.gates[name], k)]
        if isinstance(receiver := self.options.receiver, str):
            # loading and proving the weights takes longer than to tell lengths without them
            outline = load_outline(receiver).prompted(self.spec.prompt)
            for name, k in asked:
                own = gate_episodes(self.spec, self.spec.gates[name], self._task)
                refuse_too_long(outline, own, k or 0)
        for name, k in asked:
            self._refuse_episodes(self.spec, name, k)

    def evidence(
        self,
        name: str,
        k: int | None,
        criteria: Collection[str] | None = None,
        seed: int | None = None,
    ) -> Evidence:
        """Return a gate's evidence, measured by whichever worker of the run comes first.

        Args:
            name: the gate's.
            k: number of latents; None where the gate injects none.
            criteria: those the run has tests for; with some left out the gate is NOT MEASURED.
            seed: that of the codec's training, where those of several are judged.

        Raises:
            RequestError: the gate does not declare k, or what is asked for cannot be had.
            RunError: something met on the way keeps the gate from being measured. It is not tried
                again: the same error is raised.
        """
        if seed is not None and seed != self.options.train_seed:
            return self._trained_at(seed).evidence(name, k, criteria, seed)
        gate = self.spec.gates[name]
        if not declares(gate, k):
            allowed = ", ".join(map(str, gate.family))
            raise RequestError(f"--k {k}: gate {name} does not declare it; allowed: {allowed}")
        path = evidence_path(self.options.evidence, name, k, seed)
        if path in self._failed:
            raise self._failed[path]
        if path not in self._kept:
            try:
                label = label_of(name, k, seed)
                waiting = f"{label} is measured by another process; waiting for it"
                with locked(path, lambda: self.console.tell(waiting)):
                    kept = self._stored(path) or self._measured(name, k, path, criteria, label)
            except CodecError as error:
                # what a user's own codec does wrong is theirs to mend
                self._failed[path] = self._users(error)
                raise self._failed[path] from error
            except RunError as error:
                self._failed[path] = error
                raise
            except BaseException as error:
                if is_interrupt(error):
                    raise
                # once as it is; from then on in a line, where its text may be of any length
                told = f"{label} was not measured: {shown_error(error)}, said whole before"
                self._failed[path] = RunError(told)
                if isinstance(error, Exception) and len(shown_error(error, LONG)) < LONG:
                    raise
                raise self._failed[path] from None
            self._kept[path] = kept
            if self.options.kept is not None:
                own = evidence_path(self.options.kept, name, k, seed)
                if not own.exists():
                    write_evidence(own, kept)
            for other, at, same in shown_with(self.spec, gate, k, seed):
                # it takes nothing from this one, also where it cannot be measured
                try:
                    self.evidence(other, at, seed=same)
                except Exception as error:
                    self.console.tell(f"{other} is not measured: {error}")
            if self.options.runs is not None:
                # last: it is the gate that was asked for, not one shown beside it
                name_latest(self.options.runs, kept)
        return self._kept[path]

    def _trained_at(self, seed: int) -> Runner:
        """A runner of the same receiver, whose codec is trained at one of several seeds."""
        if seed not in self._by_seed:
            options = replace(self.options, receiver=self._receiver, train_seed=seed)
            self._by_seed[seed] = Runner(self.spec, options, self.origin, self.console, self.steps)
        return self._by_seed[seed]

    def _users(self, error: CodecError) -> RunError:
        """What is wrong with a codec as an error: with the user's own it is theirs to mend."""
        own = self.options.codec is not None or self.options.packets is not None
        return RequestError(str(error)) if own else error

    def _stored(self, path: Path) -> Evidence | None:
        """Evidence that another worker of this run has written."""
        if not path.exists():
            return None
        try:
            stored = read_stored(path, self.spec, present=True)
        except (StorageError, EvidenceError):
            return None
        return stored if stored.run == self.origin.run else None

    def _measured(
        self,
        name: str,
        k: int | None,
        path: Path,
        criteria: Collection[str] | None,
        label: str,
    ) -> Evidence:
        """Measure a gate, judge it, enter it in the ledger, and write its evidence."""
        options = self.options
        subject = self._subject(name, k)
        spec = self._spec_for(name, k, subject)
        gate = spec.gates[name]
        with measured(
            spec,
            name,
            subject,
            options.cache,
            options.ledger,
            batch_size=options.batch_size,
            report=self.console.evaluating(label),
            checking=lambda: self.console.tell(f"checking the validity of {label}"),
            steps=self.steps,
        ) as measurement:
            started, table = time.monotonic(), measurement.table
            required = [judge_required(spec, gate, other, table) for other in gate.requires]
            result = judge(spec, name, table, criteria, measurement.faults)
            if spec.task.split == "validation":
                result, required = explored(result), list(map(explored, required))
            decide = time.monotonic() - started
            seconds = {**self._spent(subject, k), **measurement.seconds, "decide": decide}
            # the look first: nobody is shown what is not paid for; after a kill between the two
            # the same look is found, and the same evidence written
            if measurement.ledger is not None:
                measurement.ledger.keep(result.verdict, self.origin.run)
            found = compose(
                spec, gate, k, result, required, measurement, subject, self.origin, seconds
            )
            # first: what stands at `path` is the next run's to replace
            if options.runs is not None:
                keep_run(options.runs, found)
            write_evidence(path, found)
        # as every other worker and a later reader have it
        return as_read(found)

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
        options, subject = self.options, self._subject(name, k)
        spec = self._spec_for(name, k, subject)
        episodes = gate_episodes(spec, spec.gates[name], self._task)
        label = f"{label_of(name, k)}: {', '.join(conditions)}"
        waiting = f"{label} are evaluated by another process; waiting"
        key = hash_data([subject.receiver_hash, episodes.hash(), k, list(conditions)])
        place = options.cache / "outcomes" / f"{what}-{key[:16]}"
        with locked(place, lambda: self.console.tell(waiting)):
            setting = subject.setting(episodes, self.steps.conditions)
            report = unless_all_there(self.console.evaluating(label))
            steps = self.steps.scoring(spec.evaluation)
            steps.evaluated(setting, conditions, options.cache, options.batch_size, report)
        return len(episodes) * len(conditions)

    def _spec_for(self, name: str, k: int | None, subject: Subject) -> Spec:
        """The spec that names a gate's episodes: those to explore, or with a seed that is drawn."""
        if self.options.split == "validation":
            return on_validation(self.spec, name, self._task)
        if not self.spec.task.drawn:
            return self.spec
        codec = subject.codec.content_hash if subject.codec else None
        seed, line = draw_seed(self.options.ledger, codec or "", self.spec.sha256)
        spec = replace(self.spec, task=replace(self.spec.task, seed=seed, draw=line))
        self._refuse_episodes(spec, name, k)
        return spec

    def _refuse_episodes(self, spec: Spec, name: str, k: int | None) -> None:
        """Raise RequestError where the receiver cannot read an episode as it is, or not exactly."""
        episodes = gate_episodes(spec, spec.gates[name], self._task)
        prove_for(self._receiver, episodes, k or 0, self.console.tell)
        if names := control_names(self._receiver, episodes):
            note = f"{', '.join(map(repr, names))} in B's texts: read as text; {TEMPLATE}"
            self._once("note", None, lambda: self.console.tell(note))

    def _subject(self, name: str, k: int | None) -> Subject:
        receiver = self._receiver
        # before a codec is trained for them; of seeds that are drawn one stands for all
        self._refuse_episodes(self.spec, name, k)
        subject = Subject(receiver, receiver.loaded_hash, self._task)
        if k is None:
            return subject
        codec = self._codec(k)
        self._refuse_other_packets(name, codec)
        channel, seeds = Channel(receiver, codec.codec, k), self.options.train_seeds
        subject = replace(subject, channel=channel, codec=codec, seeds=seeds)
        if not needs_control(self.spec, name):
            return subject
        # trained as long as the codec was, with a seed of its own; how long a user's own codec
        # was trained is not known: by default then
        recipe = recipe_of(codec.identity) if isinstance(codec, Obtained) else Recipe()
        control = self._obtained("control", Request(k, recipe=recipe.control(channel.port)))
        return replace(subject, static=Channel(receiver, control.codec, k), control=control)

    @cached_property
    def _task(self) -> Task:
        return task_of(self.spec)

    @property
    def _receiver(self) -> Receiver:
        asked, options = self.options.receiver, self.options
        prompt = self.spec.prompt
        if isinstance(asked, Receiver):
            return self._once("prompt", None, lambda: asked.prompted(prompt))

        def load() -> Receiver:
            self.console.tell(f"loading receiver {asked}")
            if options.wall is not None and options.codec and options.codec.folders is not None:
                with suppress(OSError):  # said where a side is asked for
                    begin_server(SERVE)
            return load_receiver(asked, **loading(options)).prompted(prompt)

        return self._once("load", None, load)

    def _refuse_other_packets(self, name: str, codec: Obtained | OwnCodec) -> None:
        """Raise RequestError where packets of a file are not those of a gate's views."""
        if not isinstance(codec.codec, FilePackets):
            return
        spec, task, split = self.spec, self._task, self.options.split
        every = [other for other in spec.gates if needs_codec(spec, other)]
        own = views_of(spec, task, [name], split)
        codec.codec.file.refuse_others(own, lambda: views_of(spec, task, every, split))

    def _codec(self, k: int) -> Obtained | OwnCodec:
        options = self.options
        if (packets := options.packets) is not None:
            receiver = self._receiver
            return self._once("codec", k, lambda: obtain_packets(packets, receiver, k))
        if options.codec is None:
            request = Request(
                k, options.train_seed, options.checkpoint, options.retrain, options.recipe
            )
            return self._obtained("codec", request)
        # loaded before the codec's code runs, which might change how it is loaded
        source, receiver = options.codec, self._receiver
        return self._once("codec", k, lambda: obtain_own(source, receiver, k, self._wall))

    @property
    def _wall(self) -> Wall | None:
        """The wall, which hides from a side all that the run itself reads or writes."""
        wall, options = self.options.wall, self.options
        if wall is None:
            return None
        own = [options.cache, options.evidence, options.ledger]
        own += [path for path in (options.kept, options.runs) if path is not None]
        hidden = (*wall.hidden, *files_of(self.spec), *(path.absolute() for path in own))
        return replace(wall, hidden=hidden)

    def close(self) -> None:
        """End the processes of the user's own codecs."""
        for (what, _), made in self._made.items():
            if what == "codec" and isinstance(made, OwnCodec):
                made.close()

    def _obtained(self, what: str, request: Request) -> Obtained:
        seed = request.seed if self.options.train_seeds else None
        receiver, label = self._receiver, label_of(what, request.k, seed)
        # the user's own codec, made before, may have changed what is trained through
        cache = receiver.own_place(self.options.cache)
        return self._once(
            what,
            request.k,
            lambda: self.steps.obtain_codec(
                receiver,
                self._task,
                request,
                cache,
                lambda progress: self.console.training(progress, request.recipe.steps, label),
                self.console.tell,
            ),
        )

    def _once(self, what: str, k: int | None, make: Callable[[], T]) -> T:
        """Make a part of what is measured the first time it is asked for, and time it."""
        if (what, k) not in self._made:
            started = time.monotonic()
            self._made[what, k] = make()
            self._seconds[what, k] = time.monotonic() - started
        return cast("T", self._made[what, k])

    def _spent(self, subject: Subject, k: int | None) -> dict[str, float]:
        """How long it took to come by what is measured, in seconds by step."""
        # a receiver that was handed over is not loaded here
        parts = {"codec": subject.codec, "control": subject.control}
        steps = [("load", None), *((what, k) for what, part in parts.items() if part is not None)]
        return {what: self._seconds[what, at] for what, at in steps if (what, at) in self._seconds}
