"""What a decided criterion says to its reader."""

from __future__ import annotations

from collections.abc import Mapping

from lpca.base.numbers import level, number, percent, span
from lpca.gatespec.model import Criterion, Evaluation, levels_of
from lpca.gatespec.wording import in_words, unit_of
from lpca.judge.outcomes import OutcomeTable
from lpca.stats import Assessment, Band, Claim, Gain, PairedTable, Rate, Ratio, Truth, Verdict
from lpca.stats.planning import enough_n

_WHAT: Mapping[type, str] = {Ratio: "ratio", Gain: "gain kept less the share asked for"}
"""What is estimated, where it is no difference."""


def message(
    claim: Claim, verdict: Verdict, seen: Assessment, table: OutcomeTable, needed: int | None
) -> str:
    """One sentence on the verdict and one on the numbers behind it."""
    return f"{_lead(claim, verdict, table, needed)}. {_numbers(claim, seen, table)}."


def needed_n(criterion: Criterion, table: OutcomeTable, evaluation: Evaluation) -> int | None:
    """An n that reaches power 0.8 if the observed rates are the true ones; None when none does.

    A claim on a pair also takes the observed disagreement as true; a gain takes the conditions
    to be independent given their rates.
    """
    truth = _observed(criterion.claim, table)
    return enough_n(criterion.claim, truth, table.n, levels_of(criterion, evaluation))


def _observed(claim: Claim, table: OutcomeTable) -> Truth:
    names = claim.conditions
    rates = {name: table.rate(name) for name in names}
    if len(names) != 2:
        return Truth(rates)
    pairs = PairedTable.from_outcomes(*(table.packed[name] for name in names))
    return Truth(rates, discordant=(pairs.b + pairs.c) / table.n)


def _lead(claim: Claim, verdict: Verdict, table: OutcomeTable, needed: int | None) -> str:
    if verdict is Verdict.PASS:
        return f"PASS: {in_words(claim)}"
    if verdict is Verdict.FAIL:
        return f"FAIL: {in_words(claim, holds=False)}"
    told = advice(needed, claim, _observed(claim, table))
    return f"INCONCLUSIVE: {table.n} episodes do not decide whether {in_words(claim)}; {told}"


def advice(needed: int | None, claim: Claim, observed: Truth) -> str:
    """What more episodes would do for a claim that is undecided."""
    if needed is not None:
        return f"were the observed rates true, {needed} would show it with power 0.8"
    if observed.satisfies(claim):
        return "were the observed rates true, no feasible number would show it"
    return "the observed rates speak against it"


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
