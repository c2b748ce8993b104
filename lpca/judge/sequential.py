"""Verdicts of a gate that declares a stopping rule, as its episodes arrive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lpca.gatespec.model import Criterion, Evaluation, Gate, Sequential, levels_of
from lpca.judge.outcomes import OutcomeTable
from lpca.stats import Equivalence, Verdict, assess, decide_anytime, evalues, obrien_fleming


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
    early = [criterion for criterion in criteria if not isinstance(criterion.claim, Equivalence)]
    found = dict.fromkeys(range(len(early)), Verdict.INCONCLUSIVE)
    for look, size in enumerate(look_sizes(rule, n)):
        if size > table.n:
            break
        seen = {name: outcomes[:size] for name, outcomes in table.packed.items()}
        for index, verdict in enumerate(_at_look(rule, look, early, seen, evaluation)):
            if found[index] is Verdict.INCONCLUSIVE:
                found[index] = verdict
    verdicts = iter(found.values())
    complete = table.n >= n
    return [
        next(verdicts)
        if not isinstance(criterion.claim, Equivalence)
        else (whole if complete else Verdict.INCONCLUSIVE)
        for criterion, whole in zip(criteria, fixed, strict=True)
    ]


def _at_look(
    rule: Sequential,
    look: int,
    criteria: Sequence[Criterion],
    outcomes: Mapping[str, bytes],
    evaluation: Evaluation,
) -> list[Verdict]:
    if not criteria:
        return []
    alpha = (1.0 - evaluation.confidence) / 2.0
    if rule.rule == "e-process":
        return decide_anytime([evalues(criterion.claim, outcomes) for criterion in criteria], alpha)
    limit = obrien_fleming(rule.looks or 1, alpha).p[look]
    verdicts = []
    for criterion in criteria:
        seen = assess(criterion.claim, outcomes, *levels_of(criterion, evaluation))
        # each claim's own alpha scales the boundary: a band spends its alpha on either side
        boundary = limit * seen.alpha / alpha
        if seen.p_pass < boundary:
            verdicts.append(Verdict.PASS)
        elif seen.p_fail * len(criteria) < boundary:
            verdicts.append(Verdict.FAIL)
        else:
            verdicts.append(Verdict.INCONCLUSIVE)
    return verdicts
