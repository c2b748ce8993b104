"""From assessed claims to verdicts, of a criterion, of a gate and of several k."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lpca.stats.assessment import Assessment


class Verdict(StrEnum):
    """What a criterion or a gate came to.

    EXPLORED is of gates alone: read on validation episodes, on which nothing is decided.
    """

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"
    NOT_MEASURED = "NOT MEASURED"
    EXPLORED = "EXPLORED"


def holm(pvalues: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values.

    The i-th smallest of m is multiplied by m - i + 1, then made non-decreasing. Holm (1979),
    Scand. J. Stat. 6:65.

    Args:
        pvalues: any number of them, in any order.

    Returns:
        The adjusted values in the order given, each at most 1.

    Raises:
        ValueError: a value outside [0, 1].

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    for p in pvalues:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"a p-value must lie in [0, 1], got {p}")
    adjusted = [0.0] * len(pvalues)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(pvalues)), key=lambda i: pvalues[i])):
        largest = max(largest, min(1.0, (len(pvalues) - rank) * pvalues[index]))
        adjusted[index] = largest
    return adjusted


def decide(assessments: Sequence[Assessment]) -> list[Verdict]:
    """One verdict per criterion of a gate.

    PASS when the interval lies wholly within the claimed region. FAIL when it lies wholly outside
    and the opposite claim stays significant at its alpha after Holm's adjustment over all the
    criteria given, so that many criteria do not manufacture a FAIL. Otherwise INCONCLUSIVE. Where
    rounding could turn outcomes, PASS and FAIL are what every reading of them says
    (`Assessment.cautious`).

    Args:
        assessments: those of all of the gate's criteria.

    Returns:
        The verdicts, in order.

    Example:
        >>> from lpca.stats.assessment import assess_counts
        >>> from lpca.stats.claims import Difference
        >>> from lpca.stats.tables import PairedTable
        >>> above = Difference("normal", "p0", ">", 0.1)
        >>> decide([assess_counts(above, PairedTable(a=20, b=60, c=5, d=15))])
        [<Verdict.PASS: 'PASS'>]
    """
    cautious = [seen.cautious for seen in assessments]
    adjusted = holm([seen.p_fail for seen in cautious])
    return [_verdict(seen, p) for seen, p in zip(cautious, adjusted, strict=True)]


def _verdict(seen: Assessment, adjusted_p_fail: float) -> Verdict:
    if seen.holds:
        return Verdict.PASS
    if seen.outside and adjusted_p_fail < seen.alpha:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def gate_verdict(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a gate all of whose criteria must hold.

    PASS only when every criterion passes: an intersection-union test, which needs no correction
    (Berger 1982, Technometrics 24:295). Otherwise the first present of INVALID, FAIL, NOT
    MEASURED, INCONCLUSIVE. A gate without criteria is NOT MEASURED, never PASS.
    """
    present = set(verdicts)
    # what makes a reading worthless comes before what it says, and FAIL before what it left open
    ordered = (Verdict.INVALID, Verdict.FAIL, Verdict.NOT_MEASURED, Verdict.INCONCLUSIVE)
    for verdict in ordered:
        if verdict in present:
            return verdict
    return Verdict.PASS if present else Verdict.NOT_MEASURED


@dataclass(frozen=True)
class AnyOf:
    """The outcome of "any of several k": by k the p-value, its adjustment and the verdict."""

    pvalues: dict[int, float]
    adjusted: dict[int, float]
    verdicts: dict[int, Verdict]
    verdict: Verdict


def any_of(
    by_k: Mapping[int, Sequence[Assessment]], family: Sequence[int], alpha: float = 0.05
) -> AnyOf:
    """Whether the gate passes for any k of a family declared beforehand.

    The p-value of a k is the largest `p_pass` among its criteria, each first brought to the common
    level (multiplied by alpha / its own alpha). Holm covers the whole family; a k that was not run
    counts as p = 1 and is NOT MEASURED. A k passes when its adjusted p-value is below alpha and
    all its criteria hold; then so does the gate. The gate fails only when every k of the family
    does.

    Args:
        by_k: by k that was run, the assessments of all of the gate's criteria.
        family: every k that was declared.
        alpha: the level of the whole family.

    Returns:
        P-values and verdicts by k, and the gate's verdict.

    Raises:
        ValueError: a repeated or undeclared k, or a k without criteria.

    Example:
        >>> from lpca.stats.assessment import assess_counts
        >>> from lpca.stats.claims import Difference
        >>> from lpca.stats.tables import PairedTable
        >>> above = Difference("normal", "p0", ">", 0.1)
        >>> found = any_of({4: [assess_counts(above, PairedTable(20, 60, 5, 15))]}, family=[4, 8])
        >>> str(found.verdict), {k: str(one) for k, one in found.verdicts.items()}
        ('PASS', {4: 'PASS', 8: 'NOT MEASURED'})
    """
    if len(set(family)) != len(family) or not set(by_k) <= set(family):
        raise ValueError(f"the k run, {sorted(by_k)}, must be among distinct declared {family}")
    pvalues = {k: _largest_p(by_k[k], alpha) if k in by_k else 1.0 for k in family}
    adjusted = dict(zip(family, holm([pvalues[k] for k in family]), strict=True))
    verdicts = {k: _k_verdict(by_k.get(k), adjusted[k], alpha) for k in family}
    return AnyOf(pvalues, adjusted, verdicts, _any_verdict(set(verdicts.values())))


def _largest_p(assessments: Sequence[Assessment], alpha: float) -> float:
    if not assessments:
        raise ValueError("a k needs at least one criterion")
    return max(min(1.0, seen.cautious.p_pass * alpha / seen.alpha) for seen in assessments)


def _k_verdict(assessments: Sequence[Assessment] | None, adjusted: float, alpha: float) -> Verdict:
    if assessments is None:
        return Verdict.NOT_MEASURED
    alone = gate_verdict(decide(assessments))
    if alone is Verdict.PASS and not adjusted < alpha:
        return Verdict.INCONCLUSIVE
    return alone


def _any_verdict(present: set[Verdict]) -> Verdict:
    if Verdict.PASS in present:
        return Verdict.PASS
    return Verdict.FAIL if present == {Verdict.FAIL} else Verdict.INCONCLUSIVE
