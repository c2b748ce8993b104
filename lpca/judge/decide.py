"""From outcomes to verdicts, by the spec's claims and `lpca.stats`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from lpca.base.numbers import level, number, percent, span
from lpca.evidence.model import CriterionResult, GateResult
from lpca.gatespec.claims import in_words, unit_of
from lpca.gatespec.model import Criterion, Evaluation, Gate, Sequential, Spec, levels_of, shared
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.assessment import Assessment, assess, sample_of
from lpca.stats.claims import Band, Claim, Equivalence, Gain, Rate, Ratio
from lpca.stats.planning import enough_n
from lpca.stats.sequential import decide_anytime, evalues, obrien_fleming
from lpca.stats.tables import PairedTable, Proportion
from lpca.stats.truth import Truth
from lpca.stats.verdicts import AnyOf, Verdict, any_of, decide, gate_verdict

_WHAT: Mapping[type, str] = {Ratio: "ratio", Gain: "gain kept less the share asked for"}
"""What is estimated, where it is no difference."""


def message(
    claim: Claim, verdict: Verdict, seen: Assessment, table: OutcomeTable, needed: int | None
) -> str:
    """One sentence on the verdict and one on the numbers behind it."""
    if verdict is Verdict.INCONCLUSIVE:
        lead = undecided(table.n, claim, needed, _observed(claim, table))
    else:
        lead = in_words(claim, holds=verdict is Verdict.PASS)
    return f"{verdict}: {lead}. {_numbers(claim, seen, table)}."


def needed_n(criterion: Criterion, table: OutcomeTable, evaluation: Evaluation) -> int | None:
    """An n that reaches power 0.8 if the observed rates are the true ones; None when none does.

    A claim on a pair also takes the observed disagreement as true; a gain takes the conditions
    to be independent given their rates.
    """
    truth = _observed(criterion.claim, table)
    return enough_n(criterion.claim, truth, table.n, levels_of(criterion, evaluation))


def _observed(claim: Claim, table: OutcomeTable) -> Truth:
    sample = sample_of(claim, table.packed)
    apart = (sample.b + sample.c) / table.n if isinstance(sample, PairedTable) else None
    return Truth({name: table.rate(name) for name in claim.conditions}, discordant=apart)


def undecided(
    n: int, claim: Claim, needed: int | None, observed: Truth, named: Callable[[str], str] = str
) -> str:
    """That n episodes do not decide a claim, and what more of them would do.

    `needed` is as of a `CriterionResult`; `named` says how a condition is called.
    """
    if needed is not None:
        told = f"were the observed rates true, {needed} would show it with power 0.8"
    elif observed.satisfies(claim):
        told = "were the observed rates true, no feasible number would show it"
    else:
        told = "the observed rates speak against it"
    return f"{n} episodes do not decide whether {in_words(claim, named=named)}; {told}"


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
    return f"{rates}: {head}{confidence} interval {interval}, bound {bounds}, n {table.n}"


def look_sizes(rule: Sequential, n: int) -> list[int]:
    """Rising numbers of episodes after which a gate of n is read; the last is n."""
    if rule.block is not None:
        return [*range(rule.block, n, rule.block), n]
    looks = rule.looks or 1
    return sorted({-(-n * look // looks) for look in range(1, looks + 1)})


def sequential_verdicts(
    gate: Gate,
    rule: Sequential,
    criteria: Sequence[Criterion],
    table: OutcomeTable,
    evaluation: Evaluation,
    fixed: Sequence[Verdict],
) -> list[Verdict]:
    """One verdict per criterion, from all looks that the episodes so far allow.

    Episodes count in the table's order. A criterion once decided stays decided. An equivalence
    keeps its fixed n: its entry of `fixed` counts once all episodes are there. FAIL takes
    Bonferroni's correction over the gate's criteria. The gate may stop as soon as no verdict is
    INCONCLUSIVE.
    """
    n = evaluation.n if gate.n is None else gate.n
    early = [i for i, one in enumerate(criteria) if not isinstance(one.claim, Equivalence)]
    complete = table.n >= n
    found = [
        whole if complete and index not in early else Verdict.INCONCLUSIVE
        for index, whole in enumerate(fixed)
    ]
    for look, size in enumerate(look_sizes(rule, n)):
        if size > table.n:
            break
        seen = {name: outcomes[:size] for name, outcomes in table.packed.items()}
        at_look = _at_look(rule, look, [criteria[index] for index in early], seen, evaluation)
        for index, verdict in zip(early, at_look, strict=True):
            if found[index] is Verdict.INCONCLUSIVE:
                found[index] = verdict
    return found


def _at_look(
    rule: Sequential,
    look: int,
    criteria: Sequence[Criterion],
    outcomes: Mapping[str, Sequence[float]],
    evaluation: Evaluation,
) -> list[Verdict]:
    if not criteria:
        return []
    alphas = [(1.0 - levels_of(criterion, evaluation)[0]) / 2.0 for criterion in criteria]
    if rule.rule == "e-process":
        found = [evalues(criterion.claim, outcomes) for criterion in criteria]
        return decide_anytime(found, alphas)
    verdicts = []
    for seen, alpha in zip(_assessed(criteria, outcomes, evaluation), alphas, strict=True):
        limit = obrien_fleming(rule.looks or 1, alpha).p[look]
        # each claim's own alpha scales the boundary: a band spends its alpha on either side
        boundary = limit * seen.alpha / alpha
        if seen.p_pass < boundary:
            verdicts.append(Verdict.PASS)
        elif seen.p_fail * len(criteria) < boundary:
            verdicts.append(Verdict.FAIL)
        else:
            verdicts.append(Verdict.INCONCLUSIVE)
    return verdicts


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
    be measured. `criteria` as in `judge_gate`.

    Raises:
        KeyError: the spec has no such gate.
        TypeError: a criterion's claim is one that no sound method decides.
    """
    gate = spec.gates[name]
    if faults:
        return unread(gate, Verdict.INVALID, tuple(faults))
    required = [judge(spec, other, table) for other in gate.requires]
    reasons = tuple(
        f"required gate {result.name} is {result.verdict} ({_because(result)})"
        for result in required
        if result.verdict is not Verdict.PASS
    )
    if reasons:
        unmeasured = any(result.verdict is Verdict.NOT_MEASURED for result in required)
        return unread(gate, Verdict.NOT_MEASURED if unmeasured else Verdict.INVALID, reasons)
    return judge_gate(gate, table, spec.evaluation, criteria)


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
    gate, evaluation = spec.gates[name], spec.evaluation
    strict = replace(
        evaluation,
        confidence=shared(evaluation.confidence, count),
        equivalence_confidence=shared(evaluation.equivalence_confidence, count),
    )
    criteria = tuple(
        one if one.confidence is None else replace(one, confidence=shared(one.confidence, count))
        for one in gate.criteria
    )
    return judge_gate(replace(gate, criteria=criteria), table, strict).verdict is Verdict.PASS


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
    _refuse_undecidable(gate)
    known = [criterion.id for criterion in gate.criteria]
    if criteria is not None and not set(criteria) <= set(known):
        unknown = sorted(set(criteria) - set(known))
        raise ValueError(f"gate {gate.name} has no criterion {', '.join(unknown)}")
    measured = [criterion for criterion in gate.criteria if not _missing(criterion, table)]
    assessments = _assessed(measured, table.packed, evaluation)
    verdicts = decide(assessments)
    if gate.sequential:
        verdicts = sequential_verdicts(gate, gate.sequential, measured, table, evaluation, verdicts)
    readings = iter(zip(assessments, verdicts, strict=True))
    results = []
    for criterion in gate.criteria:
        missing = _missing(criterion, table)
        reading = None if missing else next(readings)
        if criteria is not None and criterion.id not in criteria:
            reason = f"{criterion.id} was left out of this run"
            results.append(_unread(criterion, Verdict.NOT_MEASURED, reason))
        elif reading is None:
            reason = f"{criterion.id} has no outcomes under {', '.join(missing)}"
            results.append(_unread(criterion, Verdict.NOT_MEASURED, reason))
        else:
            results.append(_read(criterion, *reading, table, evaluation))
    reasons = tuple(result.message for result in results if result.verdict is Verdict.NOT_MEASURED)
    verdict = (
        Verdict.NOT_MEASURED if reasons else gate_verdict(result.verdict for result in results)
    )
    return GateResult(gate.name, verdict, reasons, tuple(results))


def judge_family(gate: Gate, tables: Mapping[int, OutcomeTable], evaluation: Evaluation) -> AnyOf:
    """Decide a gate of which any k of its declared family suffices, from one table per k run.

    Holm covers the whole family, also what was not run (`lpca.stats.verdicts.any_of`).

    Raises:
        ValueError: a k is not in the gate's `family`, or no k was run.
        KeyError: a table lacks a condition that a criterion names.
        TypeError: a criterion is one that the checker refuses.
    """
    _refuse_undecidable(gate)
    by_k = {k: _assessed(gate.criteria, one.packed, evaluation) for k, one in tables.items()}
    return any_of(by_k, gate.family)


def _assessed(
    criteria: Sequence[Criterion], outcomes: Mapping[str, Sequence[float]], evaluation: Evaluation
) -> list[Assessment]:
    return [assess(one.claim, outcomes, *levels_of(one, evaluation)) for one in criteria]


def _refuse_undecidable(gate: Gate) -> None:
    for criterion in gate.criteria:
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
            continue
        raise TypeError(f"no sound method decides {criterion.id}: {fault}")


def _missing(criterion: Criterion, table: OutcomeTable) -> list[str]:
    return [name for name in criterion.claim.conditions if name not in table.outcomes]


def _read(
    criterion: Criterion,
    assessment: Assessment,
    verdict: Verdict,
    table: OutcomeTable,
    evaluation: Evaluation,
) -> CriterionResult:
    undecided = verdict is Verdict.INCONCLUSIVE
    needed = needed_n(criterion, table, evaluation) if undecided else None
    told = message(criterion.claim, verdict, assessment, table, needed)
    sample = sample_of(criterion.claim, table.packed)
    return replace(
        _unread(criterion, verdict, told),
        estimate=assessment.estimate,
        interval=assessment.interval,
        confidence=1.0 - 2.0 * assessment.alpha,
        method=assessment.method,
        table=sample if isinstance(sample, PairedTable) else None,
        successes=sample.successes if isinstance(sample, Proportion) else None,
        n=table.n,
        p_pass=assessment.p_pass,
        p_fail=assessment.p_fail,
        needed_n=needed,
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
    )


def _because(result: GateResult) -> str:
    if result.reasons:
        return "; ".join(result.reasons)
    failing = (criterion for criterion in result.criteria if criterion.verdict is not Verdict.PASS)
    return ", ".join(f"{criterion.id} is {criterion.verdict}" for criterion in failing)
