"""From outcomes to verdicts, by the spec's claims and `lpca.stats`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from lpca.evidence import CriterionResult, GateResult
from lpca.gatespec.model import Criterion, Evaluation, Gate, Spec, levels_of
from lpca.judge.messages import message, needed_n
from lpca.judge.outcomes import OutcomeTable
from lpca.judge.sequential import sequential_verdicts
from lpca.stats import (
    AnyOf,
    Assessment,
    Claim,
    PairedTable,
    Verdict,
    any_of,
    assess,
    decide,
    gate_verdict,
)


def judge(
    spec: Spec,
    name: str,
    table: OutcomeTable,
    criteria: Collection[str] | None = None,
    faults: Sequence[str] = (),
) -> GateResult:
    """Decide one gate of a spec, and before it the gates it requires, on the same episodes.

    `faults` names validity checks that failed. With any, or where a required gate does not pass,
    the gate is INVALID and its criteria are not read. `criteria` as in `judge_gate`.

    Raises:
        KeyError: the spec has no such gate.
        TypeError: a criterion's claim is one that no sound method decides.
    """
    gate = spec.gates[name]
    if faults:
        return _unread(gate, Verdict.INVALID, tuple(faults))
    refused = required_gates_pass(spec, gate, table)
    if refused is not None:
        return refused
    return judge_gate(gate, table, spec.evaluation, criteria)


def required_gates_pass(spec: Spec, gate: Gate, table: OutcomeTable) -> GateResult | None:
    """None when every required gate passes on these episodes, else the gate's result.

    That is NOT MEASURED when a required gate could not be measured, else INVALID.
    """
    required = [judge(spec, name, table) for name in gate.requires]
    reasons = tuple(
        f"required gate {result.name} is {result.verdict} ({_because(result)})"
        for result in required
        if result.verdict is not Verdict.PASS
    )
    if not reasons:
        return None
    unmeasured = any(result.verdict is Verdict.NOT_MEASURED for result in required)
    return _unread(gate, Verdict.NOT_MEASURED if unmeasured else Verdict.INVALID, reasons)


def is_decided(spec: Spec, name: str, table: OutcomeTable) -> bool:
    """Whether a gate's stopping rule, and that of each gate it requires, has decided all criteria.

    Never for a gate without `sequential:`: it is decided by all of its episodes.
    """
    gate = spec.gates[name]
    if gate.sequential is None:
        return False
    undecided = [Verdict.INCONCLUSIVE for _ in gate.criteria]
    verdicts = sequential_verdicts(
        gate, gate.sequential, gate.criteria, table, spec.evaluation, undecided
    )
    return Verdict.INCONCLUSIVE not in verdicts and all(
        is_decided(spec, other, table) for other in gate.requires
    )


def passes(spec: Spec, name: str, table: OutcomeTable, count: int) -> bool:
    """Whether a gate's criteria all pass with their alpha divided by `count` (Bonferroni)."""

    def shared(confidence: float) -> float:
        return 1.0 - (1.0 - confidence) / count

    gate, evaluation = spec.gates[name], spec.evaluation
    strict = replace(
        evaluation,
        confidence=shared(evaluation.confidence),
        equivalence_confidence=shared(evaluation.equivalence_confidence),
    )
    criteria = tuple(
        replace(
            criterion,
            confidence=None if criterion.confidence is None else shared(criterion.confidence),
        )
        for criterion in gate.criteria
    )
    result = judge_gate(replace(gate, criteria=criteria), table, strict)
    return result.verdict is Verdict.PASS


def not_measured(gate: Gate, reason: str) -> GateResult:
    """The result of a gate for which there is nothing to read."""
    return _unread(gate, Verdict.NOT_MEASURED, (reason,))


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
    so is then the gate. A gate with `sequential:` is decided by its rule, on the looks that the
    table's episodes, in their order, allow; its intervals are those of a fixed n.

    Raises:
        ValueError: `criteria` names one that the gate does not have.
        TypeError: a criterion is one that the checker refuses because no sound method decides it.
    """
    for criterion in gate.criteria:
        _refuse_undecidable(gate, criterion)
    known = [criterion.id for criterion in gate.criteria]
    if criteria is not None and not set(criteria) <= set(known):
        unknown = sorted(set(criteria) - set(known))
        raise ValueError(f"gate {gate.name} has no criterion {', '.join(unknown)}")
    measured = [criterion for criterion in gate.criteria if not _missing(criterion, table)]
    assessments = [
        assess(criterion.claim, table.packed, *levels_of(criterion, evaluation))
        for criterion in measured
    ]
    verdicts = decide(assessments)
    if gate.sequential:
        verdicts = sequential_verdicts(gate, gate.sequential, measured, table, evaluation, verdicts)
    readings = iter(zip(assessments, verdicts, strict=True))
    results = tuple(
        _decided(criterion, *next(readings), table, evaluation)
        if criterion in measured
        else _absent(criterion, table)
        for criterion in gate.criteria
    )
    if criteria is not None:
        results = tuple(
            result if result.id in criteria else _left_out(criterion)
            for criterion, result in zip(gate.criteria, results, strict=True)
        )
    reasons = tuple(result.message for result in results if result.verdict is Verdict.NOT_MEASURED)
    verdict = (
        Verdict.NOT_MEASURED if reasons else gate_verdict(result.verdict for result in results)
    )
    return GateResult(gate.name, verdict, reasons, results)


def judge_family(gate: Gate, tables: Mapping[int, OutcomeTable], evaluation: Evaluation) -> AnyOf:
    """Decide a gate of which any k of its declared family suffices, from one table per k run.

    Holm covers the whole family, also what was not run (`lpca.stats.any_of`).

    Raises:
        ValueError: a k is not in the gate's `family`, or no k was run.
        KeyError: a table lacks a condition that a criterion names.
        TypeError: a criterion is one that the checker refuses.
    """
    for criterion in gate.criteria:
        _refuse_undecidable(gate, criterion)
    return any_of(
        {
            k: [
                assess(criterion.claim, table.packed, *levels_of(criterion, evaluation))
                for criterion in gate.criteria
            ]
            for k, table in tables.items()
        },
        gate.family,
    )


def _refuse_undecidable(gate: Gate, criterion: Criterion) -> None:
    sweep = criterion.best_of or gate.best_of
    if criterion.claim.method is None:
        fault = "its claim has no margin or compares separate intervals"
    elif criterion.method not in (None, criterion.claim.method):
        fault = f"method {criterion.method} does not decide a paired claim"
    elif criterion.where or gate.where:
        fault = "its episodes are picked by an outcome"
    elif sweep and sweep.confirm_seed is None:
        fault = "it gates the best of a sweep without confirmation"
    else:
        return
    raise TypeError(f"no sound method decides {criterion.id}: {fault}")


def _missing(criterion: Criterion, table: OutcomeTable) -> list[str]:
    return [name for name in criterion.claim.conditions if name not in table.outcomes]


def _decided(
    criterion: Criterion,
    assessment: Assessment,
    verdict: Verdict,
    table: OutcomeTable,
    evaluation: Evaluation,
) -> CriterionResult:
    undecided = verdict is Verdict.INCONCLUSIVE
    needed = needed_n(criterion, table, evaluation) if undecided else None
    told = message(criterion.claim, verdict, assessment, table, needed)
    return replace(
        _unread_criterion(criterion, verdict, told),
        estimate=assessment.estimate,
        interval=assessment.interval,
        confidence=1.0 - 2.0 * assessment.alpha,
        method=assessment.method,
        table=_paired(criterion.claim, table),
        successes=_successes(criterion.claim, table),
        n=table.n,
        p_pass=assessment.p_pass,
        p_fail=assessment.p_fail,
        needed_n=needed,
    )


def _paired(claim: Claim, table: OutcomeTable) -> PairedTable | None:
    if len(claim.conditions) != 2:
        return None
    first, second = claim.conditions
    return PairedTable.from_outcomes(table.packed[first], table.packed[second])


def _successes(claim: Claim, table: OutcomeTable) -> int | None:
    if len(claim.conditions) != 1:
        return None
    return table.packed[claim.conditions[0]].count(1)


def _absent(criterion: Criterion, table: OutcomeTable) -> CriterionResult:
    reason = f"{criterion.id} has no outcomes under {', '.join(_missing(criterion, table))}"
    return _unread_criterion(criterion, Verdict.NOT_MEASURED, reason)


def _left_out(criterion: Criterion) -> CriterionResult:
    reason = f"{criterion.id} was left out of this run"
    return _unread_criterion(criterion, Verdict.NOT_MEASURED, reason)


def _unread(gate: Gate, verdict: Verdict, reasons: tuple[str, ...]) -> GateResult:
    reason = f"not read: gate {gate.name} is {verdict}"
    criteria = tuple(_unread_criterion(criterion, verdict, reason) for criterion in gate.criteria)
    return GateResult(gate.name, verdict, reasons, criteria)


def _unread_criterion(criterion: Criterion, verdict: Verdict, reason: str) -> CriterionResult:
    return CriterionResult(
        id=criterion.id,
        text=criterion.text,
        claim=criterion.claim,
        why=criterion.why,
        position=criterion.position,
        verdict=verdict,
        message=reason,
        margins=criterion.claim.margins,
    )


def _because(result: GateResult) -> str:
    if result.reasons:
        return "; ".join(result.reasons)
    failing = (criterion for criterion in result.criteria if criterion.verdict is not Verdict.PASS)
    return ", ".join(f"{criterion.id} is {criterion.verdict}" for criterion in failing)
