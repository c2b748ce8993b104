"""One gate's measurement: episodes, outcomes under its conditions, and the validity checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from lpca.base.hashing import hash_data
from lpca.codec.base import DEFAULT_SEED
from lpca.codec.channel import Channel, asked_of
from lpca.codec.checkpoint import Identity, recipe_of
from lpca.codec.store import Obtained, obtain_codec
from lpca.codec.user_codec import OwnCodec
from lpca.evaluation.block import MakeJob, RunBlock, make_job, run_block
from lpca.evaluation.condition_numbers import condition_numbers
from lpca.evaluation.conditions import Setting, SlotMaker, encode_messages
from lpca.evaluation.evaluate import BLOCK, Evaluated, evaluate
from lpca.evaluation.noise import Rereadings, deciding_gap
from lpca.evaluation.normalised import Normalising
from lpca.evaluation.outcome import Outcome
from lpca.evaluation.sampled import Sampling
from lpca.evaluation.tile import tile_of
from lpca.evidence.model import CheckResult, ConditionNumbers
from lpca.gate.plan import gate_conditions, gate_episodes, max_bits, required_conditions
from lpca.gatespec.model import Evaluation, Score, Spec
from lpca.judge.decide import judge_required
from lpca.judge.looks import is_decided, is_on_course, look_sizes
from lpca.judge.outcomes import OutcomeTable, clusters_of
from lpca.judge.rounding import Read, undecided_of
from lpca.receivers.model import Receiver
from lpca.stats.verdicts import Verdict
from lpca.tasks import EpisodeSet, Task
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CHECKS, run_checks
from lpca.validity.ledger import GateLedger, LedgerEntry, claim_hashes, row_keys, share_of

MEAN_MESSAGES = 256
"""How many messages of training the condition `mean` takes the mean over."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured: a receiver on a task, and codecs where conditions inject latents.

    Attributes:
        receiver: the frozen model that plays B.
        receiver_hash: its state as it was loaded.
        task: makes the episodes.
        channel: the codec under test at work.
        static: the control that ignores messages at work.
        codec: where the codec under test came from.
        control: where the control came from.
        seeds: the training seeds of the recipe that are judged together; empty for one alone.
    """

    receiver: Receiver
    receiver_hash: str
    task: Task
    channel: Channel | None = None
    static: Channel | None = None
    codec: Obtained | OwnCodec | None = None
    control: Obtained | None = None
    seeds: tuple[int, ...] = ()

    @property
    def trained(self) -> Identity | None:
        """The training run that the codec's weights follow from; None where it is not lpca's."""
        return self.codec.identity if isinstance(self.codec, Obtained) else None

    @property
    def recipe_hash(self) -> str:
        """Of how the codec is made, whatever its seed; of a user's own its name is all there is."""
        if self.trained is not None:
            return hash_data(asdict(recipe_of(self.trained)))
        return hash_data(self.codec.name if isinstance(self.codec, OwnCodec) else "")

    @property
    def encoding_seconds(self) -> float:
        """How long its channels have encoded messages."""
        return sum(one.seconds for one in (self.channel, self.static) if one is not None)

    def setting(
        self, episodes: EpisodeSet, exchanged: Mapping[str, SlotMaker] | None = None
    ) -> Setting:
        """Return what the slots of these episodes are made from; `exchanged` as for `Setting`."""
        seed = self.trained.seed if self.trained else DEFAULT_SEED
        training = self.task.training_batch(0, MEAN_MESSAGES, seed) if self.channel else []
        messages = asked_of(training)
        return Setting(
            self.receiver, self.channel, episodes, self.static, messages, exchanged or {}
        )


def outcome_table(episodes: EpisodeSet, evaluated: Evaluated, score: Score) -> OutcomeTable:
    """Return the outcomes under the spec's `score`, ready to be judged."""
    times = evaluated.repeats
    # the answers of an episode stand together
    rows = [(index, repeat) for index in range(len(episodes)) for repeat in range(times)]
    own = [episodes.episodes[index] for index, _ in rows]
    donors = [episodes.donor(index) for index, _ in rows]
    return OutcomeTable(
        seeds=tuple(episode.seed for episode in own),
        outcomes={
            condition: tuple(one.success(score) for outcome in outcomes for one in outcome.readings)
            for condition, outcomes in evaluated.outcomes.items()
        },
        answers=tuple(episode.stratum for episode in own),
        groups=tuple(episode.group for episode in own),
        donors=tuple(donor.seed for donor in donors),
        donor_groups=tuple(donor.group for donor in donors),
        repeats=tuple(str(repeat) for _, repeat in rows) if times > 1 else None,
        graded=score == "graded",
    )


def undecided_rows(
    evaluated: Evaluated, score: Score, noise: Mapping[str, float]
) -> dict[str, tuple[int, ...]]:
    """By condition which answers lie within the noise, as `OutcomeTable.undecided` has them."""
    found: dict[str, list[int]] = {condition: [] for condition in evaluated.outcomes}
    for episode in zip(*evaluated.outcomes.values(), strict=True):
        for answers in zip(*(one.readings for one in episode), strict=True):
            reads = {
                name: Read(
                    one.success(score), deciding_gap(one, score), one.given.ids, one.given.sha256
                )
                for name, one in zip(evaluated.outcomes, answers, strict=True)
            }
            numbers = undecided_of(reads, noise)
            for name, column in found.items():
                column.append(numbers.get(name, 0))
    return {name: tuple(column) for name, column in found.items() if any(column)}


@dataclass(frozen=True, eq=False)
class Steps:
    """What a run does, step by step; each may be exchanged for another of its kind.

    Here a fault is planted on purpose, an error provoked, or a call counted: nothing else of a run
    needs to be changed for it. Whatever is exchanged, the validity checks see what came of it.

    Attributes:
        conditions: by name, what gives B something else than the condition's own function does.
        make_job: names a block's outcomes by what they depend on.
        run_block: computes a block's outcomes; the checks compute some of them again by it.
        evaluate: every episode under every condition, from the cache or computed.
        outcome_table: what is judged, of what was evaluated.
        condition_numbers: what evidence reports of a condition.
        obtain_codec: gives the codec that is asked for, and the control.
    """

    conditions: Mapping[str, SlotMaker] = field(default_factory=dict)
    make_job: MakeJob = make_job
    run_block: RunBlock = run_block
    evaluate: Callable[..., Evaluated] = evaluate
    outcome_table: Callable[[EpisodeSet, Evaluated, Score], OutcomeTable] = outcome_table
    condition_numbers: Callable[..., ConditionNumbers] = condition_numbers
    obtain_codec: Callable[..., Obtained] = obtain_codec

    def scoring(self, evaluation: Evaluation) -> Steps:
        """These steps, with options ranked and answers sampled as a spec asks for."""
        if sampling := sampling_of(evaluation):
            honest = self.make_job
            return replace(self, make_job=lambda *given: honest(*given).sampled(sampling))
        if evaluation.normalised == "none":
            return self
        own = Normalising(evaluation.normalised, self.make_job, self.run_block)
        return replace(self, make_job=own.make_job, run_block=own.run_block)

    def evaluated(
        self,
        setting: Setting,
        conditions: Sequence[str],
        cache: Path,
        batch_size: int,
        report: Callable[[int, int], None],
    ) -> Evaluated:
        """Evaluate by these steps; arguments as for `lpca.evaluation.evaluate.evaluate`."""
        return self.evaluate(
            setting, conditions, cache, batch_size, report, self.make_job, self.run_block
        )


def sampling_of(evaluation: Evaluation) -> Sampling | None:
    """How a spec asks for sampled answers; None where B is to say what is most probable."""
    if evaluation.temperature is None:
        return None
    return Sampling(evaluation.repeats, evaluation.temperature)


STEPS = Steps()
"""Those of a sound run."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Everything a verdict rests on.

    Attributes:
        episodes: those that were evaluated: all that are declared, or the first of them.
        evaluated: their outcomes, and which of them came from the cache.
        score: which of them count.
        table: their outcomes under the spec's score, ready to be judged.
        numbers: what evidence reports of each condition.
        checks: the validity checks.
        ledger: what was read of these episodes before; None without a codec, or without a verdict.
        seconds: by step of the work.
    """

    episodes: EpisodeSet
    evaluated: Evaluated
    score: Score
    table: OutcomeTable
    numbers: Mapping[str, ConditionNumbers]
    checks: tuple[CheckResult, ...]
    ledger: GateLedger | None
    seconds: Mapping[str, float]

    @property
    def outcomes(self) -> Mapping[str, Sequence[Outcome]]:
        """Outcomes by condition, in the order of the episodes."""
        return self.evaluated.outcomes

    @property
    def failed_checks(self) -> list[CheckResult]:
        """The validity checks that found something, in their order."""
        return [check for check in self.checks if check.passed is False]

    @property
    def faults(self) -> list[str]:
        """What the validity checks found; with any, no criterion may be read."""
        done = {check.id for check in self.checks}
        found = [f"{check.id}: {check.detail}" for check in self.failed_checks]
        return found + [f"{name}: not carried out" for name in CHECKS if name not in done]


@contextmanager
def measured(
    spec: Spec,
    name: str,
    subject: Subject,
    cache: Path,
    ledger: Path,
    *,
    batch_size: int = 32,
    report: Callable[[int, int], None] = lambda done, total: None,
    checking: Callable[[], None] = lambda: None,
    steps: Steps = STEPS,
    checks: Collection[str] | None = None,
) -> Iterator[Measurement]:
    """Evaluate a gate's episodes under its conditions, then audit what was evaluated.

    A gate with a stopping rule is evaluated look by look, and ends as soon as its rule has decided
    everything. Where a gate that it requires does not pass, no more than the conditions of those
    is evaluated: nobody may read the rest. While the context is open the ledger is held: what is
    judged in it, and kept, is one step with what was looked at before. Everything that takes long
    is done before.

    Args:
        spec: the spec that the gate is in.
        name: the gate's.
        subject: receiver, task and codecs.
        cache: the folder in which outcomes are kept.
        ledger: the folder in which the ledger stands; this look is to be entered there, unless
            it explores validation episodes.
        batch_size: episodes at a time, at most.
        report: called with how many outcomes of a look are there, and of how many.
        checking: called when the audit begins.
        steps: what is done, where something else than in a sound run.
        checks: the validity checks to carry out where that is not all; `faults` names the others.

    Raises:
        RunError: something keeps the gate from being measured.
    """
    gate, started = spec.gates[name], time.monotonic()
    steps = steps.scoring(spec.evaluation)
    declared = gate_episodes(spec, gate, subject.task)
    n = spec.episodes(gate)
    sizes = look_sizes(gate.sequential, n) if gate.sequential else [n]
    work = _Evaluating(spec, name, subject, declared, cache, batch_size, report, steps)
    evaluated = work.refused(sizes) or work.looks(sizes)
    episodes = declared.part(0, evaluated.n)
    table, noise = work.judged(evaluated)
    setting = subject.setting(episodes, steps.conditions)
    how = (spec.evaluation.confidence, setting, spec.evaluation.score)
    numbers = {
        condition: replace(
            steps.condition_numbers(
                condition, own, *how, clusters_of(table, [condition], spec.evaluation.cluster)
            ),
            noise=noise[condition],
            undecided=sum(map(bool, table.undecided.get(condition, ()))),
        )
        for condition, own in evaluated.outcomes.items()
    }
    measured_at, encoding = time.monotonic(), subject.encoding_seconds
    checking()
    audit = Audit(
        setting=setting,
        task=subject.task,
        outcomes=evaluated.outcomes,
        receiver_hash=subject.receiver_hash,
        score=spec.evaluation.score,
        table=table,
        # asked of the task once more: what was evaluated may have been picked over
        declared=tuple(e.seed for e in gate_episodes(spec, gate, subject.task)),
        sizes=tuple(sizes),
        trained=subject.trained,
        own=subject.codec if isinstance(subject.codec, OwnCodec) else None,
        static_trained=subject.control.identity if subject.control else None,
        split=spec.task.split,
        numbers=numbers,
        run_block=steps.run_block,
        sampling=sampling_of(spec.evaluation),
        noise=noise,
        reread=work.rereadings.read(setting, evaluated.outcomes),
        tile=tile_of(setting, batch_size),
        max_bits=max_bits(spec, name),
    )
    results = run_checks(audit, checks, reads_ledger=False)
    seconds = {
        "encode": encoding,
        "evaluate": measured_at - started - encoding,
        "check": time.monotonic() - measured_at,
    }
    held: AbstractContextManager[GateLedger | None] = nullcontext()
    if subject.channel is not None and spec.task.split == "test":
        look = look_at(spec, name, subject, episodes)
        held = GateLedger.opened(ledger, look, spec.evaluation.checkpoints)
    with held as read:
        results += run_checks(replace(audit, ledger=read), checks, reads_ledger=True)
        results.sort(key=lambda one: CHECKS[one.id].place)
        yield Measurement(
            episodes,
            evaluated,
            spec.evaluation.score,
            table,
            numbers,
            tuple(results),
            read,
            seconds,
        )


@dataclass(frozen=True, eq=False)
class _Evaluating:
    """A gate's episodes on their way to outcomes; fields as the arguments of `measured`."""

    spec: Spec
    name: str
    subject: Subject
    declared: EpisodeSet
    cache: Path
    batch_size: int
    report: Callable[[int, int], None]
    steps: Steps
    _fresh: set[str] = field(default_factory=set)

    @property
    def conditions(self) -> list[str]:
        return gate_conditions(self.spec, self.name)

    def looks(self, sizes: Sequence[int]) -> Evaluated:
        """Outcomes under all conditions, up to the look at which the gate ends."""
        evaluated = Evaluated.nothing(self.conditions)
        for start, stop in pairwise((0, *sizes)):
            evaluated = evaluated.then(self._part(start, stop, self.conditions, self.report))
            if self._are_decided([self.name], evaluated):
                break
        # what was evaluated here, on its own, was not there from before
        return replace(evaluated, cached=evaluated.cached - self._fresh)

    def refused(self, sizes: Sequence[int]) -> Evaluated | None:
        """Outcomes of the required gates' conditions where one of those gates does not pass.

        All conditions share the reading of their prompts, so where the first episodes speak for
        the required gates they are evaluated with all others: None then, as where they pass.
        """
        gate, own = self.spec.gates[self.name], required_conditions(self.spec, self.name)
        if not own or len(own) == len(self.conditions):
            return None
        evaluated = self._required(0, min(BLOCK, sizes[0]), sizes[0], own)
        if evaluated.n < self.spec.episodes(gate) and is_on_course(
            self.spec, gate, self.table(evaluated)
        ):
            return None
        evaluated = Evaluated.nothing(own)
        for start, stop in pairwise((0, *sizes)):
            evaluated = evaluated.then(self._required(start, stop, stop - start, own))
            if self._are_decided(gate.requires, evaluated):
                break
        # noise makes no gate pass that does not without it
        table = self.table(evaluated)
        found = [judge_required(self.spec, gate, other, table) for other in gate.requires]
        if all(result.verdict is Verdict.PASS for result in found):
            return None
        done = evaluated.n * len(own)
        self.report(done, done)
        return replace(evaluated, cached=evaluated.cached - self._fresh)

    def _required(self, start: int, stop: int, look: int, own: Sequence[str]) -> Evaluated:
        """Evaluate a part of a look under the required gates' conditions alone."""
        due = (stop - start) * len(own)
        report = unless_all_there(
            lambda done, _: self.report(done, look * len(self.conditions)), due
        )
        found = self._part(start, stop, own, report)
        held = {key for keys in found.keys.values() for key in keys}
        self._fresh.update(held - found.cached)
        return found

    def _part(
        self, start: int, stop: int, own: Sequence[str], report: Callable[[int, int], None]
    ) -> Evaluated:
        setting = self.subject.setting(self.declared.part(start, stop), self.steps.conditions)
        # what a codec does to the receiver while it encodes is done before an outcome is kept
        encode_messages(self.conditions, setting)
        return self.steps.evaluated(setting, own, self.cache, self.batch_size, report)

    def _are_decided(self, names: Sequence[str], evaluated: Evaluated) -> bool:
        """Whether stopping rules have decided gates, however rounding turns what it could."""
        # noise only takes decisions away: it is read where there is one
        for read in (self.table, lambda found: self.judged(found)[0]):
            table = read(evaluated)
            if not all(is_decided(self.spec, name, table) for name in names):
                return False
        return True

    def table(self, evaluated: Evaluated) -> OutcomeTable:
        """What is judged, of what was evaluated so far."""
        episodes = self.declared.part(0, evaluated.n)
        return self.steps.outcome_table(episodes, evaluated, self.spec.evaluation.score)

    def judged(self, evaluated: Evaluated) -> tuple[OutcomeTable, dict[str, float]]:
        """The table with what lies within the numerical noise; by condition that noise."""
        episodes = self.declared.part(0, evaluated.n)
        setting = self.subject.setting(episodes, self.steps.conditions)
        noise = self.rereadings.noise(setting, evaluated.outcomes)
        undecided = undecided_rows(evaluated, self.spec.evaluation.score, noise)
        return replace(self.table(evaluated), undecided=undecided), noise

    @cached_property
    def rereadings(self) -> Rereadings:
        """Episodes read again; a later look keeps what an earlier one read."""
        asked = self.spec.evaluation
        return Rereadings(self.steps.run_block, asked.score, sampling_of(asked), self.batch_size)


def unless_all_there(
    report: Callable[[int, int], None], due: int | None = None
) -> Callable[[int, int], None]:
    """Show what is computed, and say nothing where nothing is; `due` in place of the total."""
    shown = False

    def reported(done: int, total: int) -> None:
        nonlocal shown
        shown |= done < (total if due is None else due)
        if shown:
            report(done, total)

    return reported


def look_at(spec: Spec, name: str, subject: Subject, episodes: EpisodeSet) -> LedgerEntry:
    """What the ledger keeps of a look at a codec's outcomes on these episodes, by a gate."""
    gate, channel = spec.gates[name], subject.channel
    assert channel is not None, "without a codec nothing can be picked"
    return LedgerEntry(
        rows=row_keys(episodes),
        receiver=subject.receiver.weights_hash,
        k=channel.k,
        codec=(subject.codec.content_hash if subject.codec else None) or "",
        recipe=subject.recipe_hash,
        packets=channel.fingerprint(asked_of(episodes)),
        gate=name,
        n=len(episodes),
        criteria=claim_hashes(spec, gate),
        share=share_of(spec, gate),
        spec=spec.sha256,
        episodes=episodes.hash(),
        seeds=subject.seeds,
        seed=subject.trained.seed if subject.trained and subject.seeds else None,
    )
