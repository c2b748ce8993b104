"""What a decided criterion says to its reader."""

from __future__ import annotations

import math

from lpca.gatespec.model import Criterion, Evaluation, levels_of
from lpca.gatespec.wording import in_words, percent
from lpca.judge.outcomes import OutcomeTable
from lpca.stats import Assessment, Band, Claim, Gain, PairedTable, Rate, Ratio, Truth, Verdict
from lpca.stats.planning import enough_n


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
    names = claim.conditions
    rates = ", ".join(f"{name} {percent(table.rate(name))}" for name in names)
    level = f"{round(100 * (1 - 2 * seen.alpha), 2):g} % interval"
    scale, unit = scale_of(claim)
    low, high = (shown(bound, scale) for bound in (seen.interval.low, seen.interval.high))
    bounds = " to ".join(shown(margin, scale) for margin in claim.margins)
    what = {"%": "rate", "points": "difference", "": "ratio"}[unit]
    if isinstance(claim, Gain):
        what = "gain kept less the share asked for"
    head = "" if isinstance(claim, Rate | Band) else f"{what} {shown(seen.estimate, scale)}, "
    tail = f" {unit}" if unit else ""
    return f"{rates}: {head}{level} {low} to {high}{tail}, bound {bounds}{tail}, n {table.n}"


def scale_of(claim: Claim) -> tuple[float, str]:
    """What a claim's numbers are multiplied by to be shown, and their unit."""
    if isinstance(claim, Ratio):
        return 1.0, ""
    return (100.0, "%") if isinstance(claim, Rate | Band) else (100.0, "points")


def shown(value: float, scale: float) -> str:
    """A number of a claim as people read it."""
    if not math.isfinite(value):
        return "unbounded" if math.isinf(value) else "undefined"
    return f"{scale * value:.3g}" if scale == 1.0 else f"{round(scale * value, 1) + 0.0:g}"
