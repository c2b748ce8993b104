"""From outcomes to verdicts, by the spec's claims and `lpca.stats`."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lpca.base.numbers import level, number, percent, span
from lpca.evidence.model import CriterionResult, GateResult
from lpca.gatespec.claims import in_words, unit_of
from lpca.gatespec.model import (
    Criterion,
    Evaluation,
    Gate,
    Spec,
    levels_of,
)
from lpca.judge.looks import assessed, is_decided, lacking, sequential_verdicts
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.assessment import Assessment, Rounding, sample_of
from lpca.stats.claims import Band, Claim, Gain, Rate, Ratio, decidable
from lpca.stats.graded import enough_marks, is_graded
from lpca.stats.planning import enough_n
from lpca.stats.tables import PairedTable, Proportion
from lpca.stats.truth import Truth
from lpca.stats.verdicts import AnyOf, Verdict, any_of, decide, gate_verdict

Levels = tuple[float, float]
"""Confidences of one-sided claims and of those with two bounds."""
_WHAT: Mapping[type, str] = {Ratio: "ratio", Gain: "gain kept less the share asked for"}
"""What is estimated, where it is no difference."""


def message(
    claim: Claim, verdict: Verdict, seen: Assessment, table: OutcomeTable, needed: Needed
) -> str:
    """One sentence on the verdict and one on the numbers behind it."""
    if verdict is Verdict.INCONCLUSIVE and seen.rounding and seen.rounding.decides:
        lead = turned_by_rounding(table.units, claim, seen.rounding)
    elif verdict is Verdict.INCONCLUSIVE:
        groups = seen.grouping.groups if seen.grouping else None
        lead = undecided(table.units, groups, claim, needed, _observed(claim, table))
    else:
        lead = in_words(claim, holds=verdict is Verdict.PASS)
    return f"{verdict}: {lead}. {_numbers(claim, seen, table)}."


@dataclass(frozen=True)
class Needed:
    """How many episodes, and groups of them, would do; None where no number does or none is due."""

    n: int | None = None
    groups: int | None = None


def needed(criterion: Criterion, table: OutcomeTable, seen: Assessment, at: Levels) -> Needed:
    """What reaches power 0.8 if the observed rates are the true ones.

    A claim on a pair also takes the observed disagreement as true; a gain takes the conditions to
    be independent given their rates. Groups are taken to be as large, and as alike within, as at
    the bound that is to be refuted.
    """
    claim = decidable(criterion.claim)
    columns = [table.packed[name] for name in claim.conditions]
    if is_graded(columns):
        alone = enough_marks(claim, columns, seen.alpha)
    else:
        short = table.n if seen.grouping is None else 1
        alone = enough_n(claim, _observed(claim, table), short, at)
    if alone is None or seen.grouping is None:
        return Needed(alone)
    from lpca.stats.clusters import enough_groups

    each = table.n / seen.grouping.groups
    groups = enough_groups(alone * seen.grouping.at_margin / each, seen.alpha)
    groups = max(groups, seen.grouping.groups + 1)
    return Needed(math.ceil(groups * table.units / seen.grouping.groups), groups)


def _observed(claim: Claim, table: OutcomeTable) -> Truth:
    sample = sample_of(claim, table.packed)
    apart = (sample.b + sample.c) / table.n if isinstance(sample, PairedTable) else None
    return Truth({name: table.rate(name) for name in claim.conditions}, discordant=apart)


def undecided(
    n: int,
    groups: int | None,
    claim: Claim,
    needed: Needed,
    observed: Truth,
    named: Callable[[str], str] = str,
) -> str:
    """That n episodes, in so many groups if any, do not decide a claim, and what more would do.

    `named` says how a condition is called.
    """
    if needed.groups is not None:
        told = f"were the observed rates true, {needed.groups} groups would show it with power 0.8"
    elif needed.n is not None:
        told = f"were the observed rates true, {needed.n} would show it with power 0.8"
    elif observed.satisfies(claim):
        told = "were the observed rates true, no feasible number would show it"
    else:
        told = "the observed rates speak against it"
    these = f"{n} episodes" if groups is None else f"{n} episodes in {groups} groups"
    return f"{these} do not decide whether {in_words(claim, named=named)}; {told}"


def turned_by_rounding(
    n: int, claim: Claim, rounding: Rounding, named: Callable[[str], str] = str
) -> str:
    """That a claim depends on outcomes within the receiver's numerical noise, and what would help.

    `named` says how a condition is called.
    """
    unit = unit_of(claim)
    low, high = rounding.estimates.low, rounding.estimates.high
    return (
        f"whether {in_words(claim, named=named)} depends on rounding: {rounding.episodes} of {n} "
        f"episodes lie within the receiver's numerical noise, and with them one way or the other "
        f"the estimate is {span(low, high, unit)}; float32 or more episodes would show it"
    )


def _numbers(claim: Claim, seen: Assessment, table: OutcomeTable) -> str:
    rates = ", ".join(f"{name} {percent(table.rate(name))}" for name in claim.conditions)
    unit = unit_of(claim)
    interval = span(seen.interval.low, seen.interval.high, unit)
    bounds = unit.behind(" to ".join(number(margin, unit) for margin in claim.margins))
    head = ""
    if not isinstance(claim, Rate | Band):
        what = _WHAT.get(type(claim), "difference")
        head = f"{what} {number(seen.estimate, unit)}, "
    confidence = level(1 - 2 * seen.alpha)
    n = f"n {table.units}"
    if seen.grouping:
        n += f" in {seen.grouping.groups} groups"
    return f"{rates}: {head}{confidence} interval {interval}, bound {bounds}, {n}"


def judge(
    spec: Spec,
    name: str,
    table: OutcomeTable,
    criteria: Collection[str] | None = None,
    faults: Sequence[str] = (),
) -> GateResult:
    """Decide one gate of a spec, and before it the gates it requires, on the same episodes.

    `faults` names validity checks that failed. With any, or where a required gate does not pass,
    the gate is INVALID and its criteria are not read; NOT MEASURED where a required gate could not
    be measured. So it is of fewer episodes than the spec declares, unless a stopping rule has
    decided on them; of more, those that come first decide. `criteria` as in `judge_gate`.

    Raises:
        KeyError: the spec has no such gate.
        TypeError: a criterion's claim is one that no sound method decides.
    """
    if faults:
        return unread(spec.gates[name], Verdict.INVALID, tuple(faults))
    return _judge(spec, name, table, criteria, {})


_Judged = dict[tuple[str, int, tuple[int, ...]], GateResult]
"""Required gates that were judged, by name, rows, and how many episodes each gate then has."""


def _judge(
    spec: Spec,
    name: str,
    table: OutcomeTable,
    criteria: Collection[str] | None,
    judged: _Judged,
) -> GateResult:
    gate = spec.gates[name]
    if short := too_few(spec, name, table):
        return unread(gate, Verdict.NOT_MEASURED, (short,))
    table = table if table.units <= spec.episodes(gate) else table.head(spec.episodes(gate))
    required = [judge_required(spec, gate, other, table, judged) for other in gate.requires]
    reasons = tuple(
        f"required gate {result.name} is {result.verdict} ({_because(result)})"
        for result in required
        if result.verdict is not Verdict.PASS
    )
    if reasons:
        unmeasured = any(result.verdict is Verdict.NOT_MEASURED for result in required)
        return unread(gate, Verdict.NOT_MEASURED if unmeasured else Verdict.INVALID, reasons)
    return judge_gate(gate, table, spec.evaluation, criteria)


def explored(result: GateResult) -> GateResult:
    """What validation episodes come to: everything that can be read, and no verdict on it."""
    if result.verdict in (Verdict.INVALID, Verdict.NOT_MEASURED):
        return result
    return replace(result, verdict=Verdict.EXPLORED)


def judge_required(
    spec: Spec, gate: Gate, name: str, table: OutcomeTable, judged: _Judged | None = None
) -> GateResult:
    """Decide a gate that another one requires, on the episodes of that one.

    It may declare more episodes than there are: whether these are enough for it is the checker's
    to say. A stopping rule keeps the looks it declares. `judged` holds what was decided already:
    gates may require one another along very many ways.
    """
    if spec.gates[name].sequential is None:
        spec = spec.on_at_most(name, spec.episodes(gate))
    judged = {} if judged is None else judged
    key = (name, table.n, tuple(map(spec.episodes, spec.gates.values())))
    if key not in judged:
        judged[key] = _judge(spec, name, table, None, judged)
    return judged[key]


def too_few(spec: Spec, name: str, table: OutcomeTable) -> str:
    """What a table lacks of the episodes, or of their repeats, that a gate declares; else empty."""
    declared, repeats = spec.episodes(spec.gates[name]), spec.evaluation.repeats
    if table.n < repeats * table.units:
        found = table.n // table.units
        return f"{found} repeats of each episode; the spec declares {repeats}"
    if table.units < declared and not is_decided(spec, name, table):
        return f"{table.units} episodes; the spec declares {declared}, and fewer decide nothing"
    return ""


def judge_gate(
    gate: Gate,
    table: OutcomeTable,
    evaluation: Evaluation,
    criteria: Collection[str] | None = None,
) -> GateResult:
    """Decide a gate's criteria on one table of outcomes.

    Every criterion is assessed whatever is selected, so that a verdict never depends on the
    selection: Holm's adjustment for FAIL covers the whole gate. A criterion not among
    `criteria` (ids; None for all), or whose conditions the table lacks, is NOT MEASURED, and
    so is then the gate. One that only warns is read as the others are and changes none of their
    verdicts, nor the gate's: those that warn are adjusted among themselves. A gate with
    `sequential:` is decided by its rule, on the looks that the table's episodes, in their order,
    allow; its intervals are those of a fixed n.

    Raises:
        ValueError: `criteria` names one that the gate does not have.
        TypeError: a criterion is one that the checker refuses because no sound method decides it.
    """
    _refuse_undecidable(gate)
    known = [criterion.id for criterion in gate.criteria]
    if criteria is not None and not set(criteria) <= set(known):
        unknown = sorted(set(criteria) - set(known))
        raise ValueError(f"gate {gate.name} has no criterion {', '.join(unknown)}")
    measured = [criterion for criterion in gate.criteria if not lacking(criterion, table)]
    assessments = assessed(measured, table, evaluation)
    verdicts = _verdicts(gate, measured, assessments, table, evaluation)
    readings = iter(zip(assessments, verdicts, strict=True))
    results = []
    for criterion in gate.criteria:
        missing = lacking(criterion, table)
        reading = None if missing else next(readings)
        if criteria is not None and criterion.id not in criteria:
            reason = f"{criterion.id} was left out of this run"
            results.append(_unread(criterion, Verdict.NOT_MEASURED, reason))
        elif reading is None:
            reason = f"{criterion.id} has no outcomes under {', '.join(missing)}"
            results.append(_unread(criterion, Verdict.NOT_MEASURED, reason))
        else:
            results.append(_read(criterion, *reading, table, evaluation))
    deciding = [one for one in results if one.decides]
    reasons = tuple(result.message for result in deciding if result.verdict is Verdict.NOT_MEASURED)
    verdict = (
        Verdict.NOT_MEASURED if reasons else gate_verdict(result.verdict for result in deciding)
    )
    return GateResult(gate.name, verdict, reasons, tuple(results))


def _verdicts(
    gate: Gate,
    criteria: Sequence[Criterion],
    assessments: Sequence[Assessment],
    table: OutcomeTable,
    evaluation: Evaluation,
) -> list[Verdict]:
    """One verdict per criterion, of those that decide and of those that warn as two families."""
    found = [Verdict.INCONCLUSIVE for _ in criteria]
    for decides in (True, False):
        own = [index for index, one in enumerate(criteria) if one.decides is decides]
        verdicts = decide([assessments[index] for index in own])
        if gate.sequential and own:
            family = [criteria[index] for index in own]
            verdicts = sequential_verdicts(
                gate, gate.sequential, family, table, evaluation, verdicts
            )
        for index, verdict in zip(own, verdicts, strict=True):
            found[index] = verdict
    return found


def judge_family(gate: Gate, tables: Mapping[int, OutcomeTable], evaluation: Evaluation) -> AnyOf:
    """Decide a gate of which any k of its declared family suffices, from one table per k run.

    Holm covers the whole family, also what was not run (`lpca.stats.verdicts.any_of`).

    Raises:
        ValueError: a k is not in the gate's `family`, or no k was run.
        KeyError: a table lacks a condition that a criterion names.
        TypeError: a criterion is one that the checker refuses.
    """
    _refuse_undecidable(gate)
    by_k = {k: assessed(gate.deciding, one, evaluation) for k, one in tables.items()}
    return any_of(by_k, gate.family)


def _refuse_undecidable(gate: Gate) -> None:
    for criterion in gate.criteria:
        sweep = criterion.best_of or gate.best_of
        if criterion.claim.method is None:
            fault = "its claim has no margin or compares separate intervals"
        elif criterion.method not in (None, criterion.claim.method):
            fault = f"method {criterion.method} does not decide a paired claim"
        elif criterion.where or gate.where:
            fault = "its episodes are picked by an outcome"
        elif sweep:
            fault = "it gates the best of a sweep on the episodes that chose it"
        else:
            continue
        raise TypeError(f"no sound method decides {criterion.id}: {fault}")


def _read(
    criterion: Criterion,
    assessment: Assessment,
    verdict: Verdict,
    table: OutcomeTable,
    evaluation: Evaluation,
) -> CriterionResult:
    due, rounding = Needed(), assessment.rounding
    if verdict is Verdict.INCONCLUSIVE and not (rounding and rounding.decides):
        due = needed(criterion, table, assessment, levels_of(criterion, evaluation))
    told = message(criterion.claim, verdict, assessment, table, due)
    result = _unread(criterion, verdict, told)
    sample = sample_of(criterion.claim, table.packed)
    return replace(
        result,
        message=told.replace(verdict, result.standing, 1),
        estimate=assessment.estimate,
        interval=assessment.interval,
        confidence=1.0 - 2.0 * assessment.alpha,
        method=assessment.method,
        table=sample if isinstance(sample, PairedTable) else None,
        successes=sample.successes if isinstance(sample, Proportion) else None,
        n=table.units,
        p_pass=assessment.p_pass,
        p_fail=assessment.p_fail,
        needed_n=due.n,
        needed_groups=due.groups,
        grouping=assessment.grouping,
        rounding=rounding,
    )


def unread(gate: Gate, verdict: Verdict, reasons: tuple[str, ...]) -> GateResult:
    """The result of a gate whose criteria are not read, and why."""
    reason = f"not read: gate {gate.name} is {verdict}"
    criteria = tuple(_unread(criterion, verdict, reason) for criterion in gate.criteria)
    return GateResult(gate.name, verdict, reasons, criteria)


def _unread(criterion: Criterion, verdict: Verdict, reason: str) -> CriterionResult:
    return CriterionResult(
        id=criterion.id,
        text=criterion.text,
        claim=criterion.claim,
        why=criterion.why,
        position=criterion.position,
        verdict=verdict,
        message=reason,
        margins=criterion.claim.margins,
        severity=None if criterion.decides else criterion.severity,
    )


def _because(result: GateResult) -> str:
    if result.reasons:
        return "; ".join(result.reasons)
    failing = (one for one in result.deciding if one.verdict is not Verdict.PASS)
    return ", ".join(f"{one.id} is {one.verdict}" for one in failing)
