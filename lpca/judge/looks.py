"""When a gate is read, and what its stopping rule says at each look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from lpca.gatespec.model import (
    Criterion,
    Evaluation,
    Gate,
    Sequential,
    Spec,
    cluster_of,
    levels_of,
    look_alpha,
)
from lpca.judge.outcomes import OutcomeTable, WholeGroups, clusters_of
from lpca.judge.rounding import resolved
from lpca.stats.assessment import Assessment, assess
from lpca.stats.claims import Claim, Equivalence, decidable
from lpca.stats.normal import one_sided_z
from lpca.stats.sequential import EValues, decide_anytime, evalues, obrien_fleming
from lpca.stats.verdicts import Verdict

if TYPE_CHECKING:
    from lpca.stats.clusters import Clusters


def look_sizes(rule: Sequential, n: int) -> list[int]:
    """Rising numbers of episodes after which a gate of n is read; the last is n."""
    return list(rule.sizes(n))


def sequential_verdicts(
    gate: Gate,
    rule: Sequential,
    criteria: Sequence[Criterion],
    table: OutcomeTable,
    evaluation: Evaluation,
    fixed: Sequence[Verdict],
) -> list[Verdict]:
    """One verdict per criterion, from all looks that the episodes so far allow.

    Episodes count in the table's order, group by group where claims are decided over groups, and a
    look sees whole groups alone. A criterion once decided stays decided. FAIL takes Bonferroni's
    correction over the gate's criteria. The gate may stop as soon as one is FAIL or none is
    INCONCLUSIVE. Where the rule lets equivalences wait, an equivalence's entry of `fixed` counts
    once all episodes are there.
    """
    n = evaluation.n if gate.n is None else gate.n
    waiting = Equivalence if rule.equivalences_wait else ()
    early = [i for i, one in enumerate(criteria) if not isinstance(one.claim, waiting)]
    complete = table.units >= n
    found = [
        whole if complete and index not in early else Verdict.INCONCLUSIVE
        for index, whole in enumerate(fixed)
    ]
    ordered = WholeGroups.of(table, evaluation.cluster, complete)
    for look, size in enumerate(look_sizes(rule, n)):
        seen = ordered.head(size)
        if size > table.units or seen is None:
            break
        at_look = _at_look(rule, look, [criteria[index] for index in early], seen, evaluation)
        for index, verdict in zip(early, at_look, strict=True):
            if found[index] is Verdict.INCONCLUSIVE:
                found[index] = verdict
    return found


def _at_look(
    rule: Sequential,
    look: int,
    criteria: Sequence[Criterion],
    table: OutcomeTable,
    evaluation: Evaluation,
) -> list[Verdict]:
    if not criteria:
        return []
    alphas = [look_alpha(criterion, evaluation) for criterion in criteria]
    if rule.rule == "e-process":
        found = [_evalues(one, table, evaluation) for one in criteria]
        decided = zip(criteria, decide_anytime(found, alphas), strict=True)
        return [_over_donors(*one, table, evaluation, len(criteria)) for one in decided]
    verdicts = []
    for seen, alpha in zip(assessed(criteria, table, evaluation), alphas, strict=True):
        limit = obrien_fleming(rule.looks or 1, alpha).p[look]
        # each claim's own alpha scales the boundary: a band spends its alpha on either side
        boundary = limit * seen.alpha / alpha
        if seen.cautious.p_pass < boundary:
            verdicts.append(Verdict.PASS)
        elif seen.cautious.p_fail * len(criteria) < boundary:
            verdicts.append(Verdict.FAIL)
        else:
            verdicts.append(Verdict.INCONCLUSIVE)
    return verdicts


def _evalues(criterion: Criterion, table: OutcomeTable, evaluation: Evaluation) -> EValues:
    """A claim's e-values; where rounding could turn outcomes, the least that a reading has."""
    clusters = _clusters(criterion, table, evaluation)
    readings = [table.packed]
    if turned := resolved(criterion.claim, table):
        readings += [turned.least, turned.most]
    found = [evalues(criterion.claim, reading, clusters) for reading in readings]
    log_fail = min(one.log_fail for one in found)
    if turned and _both_sides(criterion.claim, readings):
        log_fail = -math.inf
    return EValues(min(one.log_pass for one in found), log_fail)


def _both_sides(claim: Claim, readings: Sequence[Mapping[str, Sequence[float]]]) -> bool:
    """Whether a claim of two bounds is missed below the one here and above the other there."""
    if not claim.is_two_sided:
        return False
    middle = 0.5 * sum(claim.margins)
    means = []
    for reading in readings:
        values = list(map(decidable(claim).value, *(reading[name] for name in claim.conditions)))
        means.append(math.fsum(values) / len(values))
    return min(means) < middle < max(means)


def _over_donors(
    criterion: Criterion,
    verdict: Verdict,
    table: OutcomeTable,
    evaluation: Evaluation,
    family: int,
) -> Verdict:
    """A bet's verdict, or INCONCLUSIVE where it does not hold over the groups of donors too.

    Bets know of an episode's own group alone: where a few groups are everybody's donors, one that
    is misread wins all of them. So the score over both must agree, at the level of a single look.
    """
    clusters = _clusters(criterion, table, evaluation)
    if verdict is Verdict.INCONCLUSIVE or clusters is None or clusters.donor is None:
        return verdict
    (seen,) = assessed([criterion], table, evaluation)
    p = seen.cautious.p_pass if verdict is Verdict.PASS else seen.cautious.p_fail * family
    return verdict if p < seen.alpha else Verdict.INCONCLUSIVE


def is_decided(spec: Spec, name: str, table: OutcomeTable) -> bool:
    """Whether a gate's stopping rule, and that of each gate it requires, has decided the gate.

    That is so once one of its criteria is FAIL or all are decided; once a gate that it requires is
    FAIL nobody may read it. Never for a gate without `sequential:`: it is decided by all of its
    episodes.
    """
    return _has_passed(spec, name, table, {}) is not None


def _has_passed(
    spec: Spec, name: str, table: OutcomeTable, known: dict[str, bool | None]
) -> bool | None:
    """Whether a gate and those it requires have passed; None while that is not decided."""
    if name not in known:
        gate = spec.gates[name]
        before = [_has_passed(spec, other, table, known) for other in gate.requires]
        if gate.sequential is None or None in before:
            known[name] = None
        elif False in before:
            known[name] = False
        else:
            known[name] = _own_passed(gate, gate.sequential, table, spec.evaluation)
    return known[name]


def _own_passed(
    gate: Gate, rule: Sequential, table: OutcomeTable, evaluation: Evaluation
) -> bool | None:
    if any(lacking(one, table) for one in gate.deciding):
        return None
    undecided = [Verdict.INCONCLUSIVE for _ in gate.deciding]
    verdicts = sequential_verdicts(gate, rule, gate.deciding, table, evaluation, undecided)
    if Verdict.FAIL in verdicts:
        return False
    return None if Verdict.INCONCLUSIVE in verdicts else True


def is_on_course(spec: Spec, gate: Gate, table: OutcomeTable) -> bool:
    """Whether the gates that one requires would all pass, were all episodes like those of a table.

    It decides nothing but what is measured first. False where the table lacks a condition.
    """
    n = spec.episodes(gate)
    reached = list(gate.requires)
    for other in reached:
        required = spec.gates[other]
        if any(lacking(one, table) for one in required.deciding):
            return False
        for seen in assessed(required.deciding, table, spec.evaluation):
            # of episodes alike the score grows as the root of their number
            z = math.inf if seen.p_pass <= 0.0 else one_sided_z(min(seen.p_pass, 0.4999))
            if z * math.sqrt(n / table.units) < one_sided_z(seen.alpha):
                return False
        reached += [name for name in required.requires if name not in reached]
    return True


def assessed(
    criteria: Sequence[Criterion], table: OutcomeTable, evaluation: Evaluation
) -> list[Assessment]:
    """Each criterion's assessment on all rows of a table, over groups where it asks for them.

    Where rounding could turn outcomes it has those with them turned either way.
    """
    return [_assessed(one, table, evaluation) for one in criteria]


def _assessed(criterion: Criterion, table: OutcomeTable, evaluation: Evaluation) -> Assessment:
    how = (*levels_of(criterion, evaluation), _clusters(criterion, table, evaluation))
    seen = assess(criterion.claim, table.packed, *how)
    turned = resolved(criterion.claim, table)
    if turned is None:
        return seen
    readings = (turned.least, turned.most)
    return replace(
        seen,
        resolved=tuple(assess(criterion.claim, reading, *how) for reading in readings),
        turning=turned.episodes,
    )


def _clusters(criterion: Criterion, table: OutcomeTable, evaluation: Evaluation) -> Clusters | None:
    return clusters_of(table, criterion.claim.conditions, cluster_of(criterion, evaluation))


def lacking(criterion: Criterion, table: OutcomeTable) -> list[str]:
    """The conditions that a criterion names and a table lacks."""
    return [name for name in criterion.claim.conditions if name not in table.outcomes]
