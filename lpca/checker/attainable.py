"""Can the claim come out PASS at this n at all, and often enough if it is true?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from lpca.base.numbers import percent, points
from lpca.checker.groups import can_decide, design_effect, groups_of, readings
from lpca.checker.rule import Fault, deciding_criteria, rule
from lpca.gatespec.claims import in_words
from lpca.gatespec.model import Criterion, Gate, Spec, cluster_of, levels_of, passing_levels
from lpca.stats.assessment import Sample, assess_counts
from lpca.stats.claims import (
    Approximate,
    Band,
    BoundsComparison,
    Claim,
    Difference,
    Equivalence,
    Gain,
    Rate,
    Ratio,
)
from lpca.stats.gain import gain_counts
from lpca.stats.planning import TARGET, enough_n, power
from lpca.stats.proportions import min_n_equivalence, wilson, wilson_threshold
from lpca.stats.tables import PairedTable, Proportion
from lpca.stats.truth import Truth

LARGE, CLEAR = 1000, 8.0
"""From so many episodes on a claim expected so many standard scores beyond its bound is clear."""
NEAR_ZERO = 0.05
"""Below this expected rate of p0 a message that misleads has next to nothing to take away."""
NEAR_ZERO_INSTEAD = (
    "where p0 is near 0: normal - shuffle > 0, and shuffle - p0 < 0.05, since a message that "
    "misleads has nothing to take away there"
)


@rule("unattainable", "error")
def unattainable(spec: Spec) -> Iterator[Fault]:
    """No outcome at this n can satisfy the criterion."""
    for gate, criterion in deciding_criteria(spec):
        n = spec.episodes(gate) * spec.evaluation.repeats
        levels = passing_levels(gate, levels_of(criterion, spec.evaluation))
        number = _obstacle(criterion, n, gate.expect, *levels)
        number = number or _sequential_obstacle(*readings(spec, gate), criterion)
        if number:
            yield Fault(
                criterion.position,
                f"no outcome of {n} episodes can show that {in_words(criterion.claim)}",
                number,
                _attainable_instead(criterion, gate.expect, levels[1]),
            )
        else:
            yield from _groups_obstacle(spec, gate, criterion, n, levels)


def _groups_obstacle(
    spec: Spec, gate: Gate, criterion: Criterion, n: int, levels: tuple[float, float]
) -> Iterator[Fault]:
    """That no outcome over so few groups shows the criterion, however alike these may be."""
    claim, groups = criterion.claim, groups_of(spec)
    own = cluster_of(criterion, spec.evaluation) == "group"
    if groups is None or not own or claim.method is None or gate.sequential is not None:
        return
    level = levels[claim.is_two_sided]
    if can_decide(claim, n, groups, level):
        return
    due = next(more for more in range(groups + 1, n + 1) if can_decide(claim, n, more, level))
    yield Fault(
        criterion.position,
        f"no outcome of {n} episodes in {groups} groups can show that {in_words(claim)}",
        f"the p-value of the best is above {percent(1.0 - level)}, and half of that is due",
        f"episodes in more than {due} groups, far more to be likely to pass",
    )


def _obstacle(
    criterion: Criterion, n: int, expect: Mapping[str, float], one_sided: float, two_sided: float
) -> str | None:
    """What the best possible outcome lacks; None where it suffices."""
    claim = criterion.claim
    match claim:
        case Equivalence(margin=margin):
            least = min_n_equivalence(margin, (1.0 - two_sided) / 2.0)
            takes = f"even without one disagreement ±{points(margin)} takes n {least}"
            return None if n >= least else takes
        case Band():
            return _band_obstacle(claim, n, two_sided)
        case BoundsComparison():
            return _bounds_obstacle(claim, n, expect, one_sided)
        case Approximate():
            return None
    best = _best_interval(claim, n, one_sided)
    if best:
        return f"the best possible outcome leaves the interval at {best}"
    return _floor_obstacle(claim, n, expect, one_sided) if isinstance(claim, Difference) else None


def _sequential_obstacle(spec: Spec, gate: Gate, criterion: Criterion) -> str | None:
    """What the best possible outcome lacks under the gate's stopping rule."""
    rule = gate.sequential
    if rule is None or criterion.claim.method is None:
        return None
    from lpca.checker.decision import best_under_rule

    try:
        passes, best, due = best_under_rule(spec, gate, criterion)
    except ValueError as error:
        return f"under the {rule.rule} it cannot be decided: {error}"
    if passes:
        return None
    if rule.rule == "e-process":
        return f"the best possible outcome has an e-value of {best:.3g}, and {due:.3g} is due"
    return f"the best possible outcome has a score of {best:.3g}, and {due:.3g} is due"


def _floor_obstacle(
    claim: Difference, n: int, expect: Mapping[str, float], confidence: float
) -> str | None:
    """Below a condition that is near 0 there is no room: its own successes are all there is."""
    upper = claim.upper
    rate = expect.get(upper)
    if rate is None:
        return None
    most = round(n * rate)
    lost = (0, most, 0, n - most) if claim.relation == ">" else (0, 0, most, n - most)
    seen = assess_counts(claim, PairedTable(*lost), confidence)
    if seen.holds:
        return None
    return (
        f"{upper} is expected to succeed {most} times: even if the other never did, the interval "
        f"would be {seen.interval.low:.3g} to {seen.interval.high:.3g}"
    )


def _band_obstacle(claim: Band, n: int, confidence: float) -> str | None:
    least = wilson_threshold(n, claim.low, confidence)
    if least is not None:
        # where the lower limit is the bound itself, or p just alpha, one success more is needed
        for successes in range(least, min(least + 2, n) + 1):
            if assess_counts(claim, Proportion(successes, n), 0.95, confidence).holds:
                return None
    seen = wilson(min(n, round(n * (claim.low + claim.high) / 2.0)), n, confidence)
    return f"in its middle the interval is {percent(seen.low)} to {percent(seen.high)}"


def _best_interval(
    claim: Rate | Ratio | Difference | Gain, n: int, confidence: float
) -> str | None:
    """The interval of the best possible outcome; None where that shows the claim."""
    above = claim.region.high == math.inf
    match claim:
        case Rate():
            best: Sample = Proportion(n if above else 0, n)
        case Gain(fraction=fraction):
            wins, losses = (True,) * n, (False,) * n
            best = gain_counts(wins, losses, losses, fraction)
        case _:
            best = PairedTable(0, n, 0, 0) if above else PairedTable(0, 0, n, 0)
    seen = assess_counts(claim, best, confidence)
    return None if seen.holds else f"{seen.interval.low:.3g} to {seen.interval.high:.3g}"


def _bounds_obstacle(
    claim: BoundsComparison, n: int, expect: Mapping[str, float], confidence: float
) -> str | None:
    lower, upper, margin = claim.lower, claim.upper, abs(claim.margin)
    ceiling = wilson(round(n * expect.get(upper, 1.0)), n, confidence).low
    floor = wilson(0, n, confidence).high + margin
    if floor < ceiling:
        return None
    least = wilson_threshold(n, floor, confidence)
    takes = f"{upper} needs at least {least} of {n}" if least else f"no rate of {upper} suffices"
    given = f", and {round(n * expect[upper])} are expected" if upper in expect else ""
    return f"even with no success of {lower} its bound is {percent(floor)}: {takes}{given}"


def _attainable_instead(criterion: Criterion, expect: Mapping[str, float], two: float) -> str:
    match criterion.claim:
        case claim if _below_near_zero(claim, expect):
            return NEAR_ZERO_INSTEAD
        case Equivalence(margin=margin):
            least = min_n_equivalence(margin, (1.0 - two) / 2.0)
            return f"n of at least {least}, far more to be likely to pass, or a wider margin"
        case BoundsComparison(first, second, relation):
            return f"the paired claim {first} - {second} {relation} 0"
    return "a larger n, or a margin that outcomes can reach"


def _below_near_zero(claim: Claim, expect: Mapping[str, float]) -> bool:
    if not isinstance(claim, Difference) or (claim.lower, claim.upper) != ("shuffle", "p0"):
        return False
    asked = claim.margin if claim.relation == ">" else -claim.margin
    return asked >= 0.0 and expect.get("p0", 1.0) < NEAR_ZERO


@rule("underpowered", "error")
def underpowered(spec: Spec) -> Iterator[Fault]:
    """Power is below 0.8 at the spec's own expectations."""
    for gate, criterion in deciding_criteria(spec):
        known = criterion.claim.method is not None and not _unknown(gate, criterion)
        if not known or not criterion.decides:
            continue
        # repeats count for as much as they can: how alike they are nobody knows beforehand
        n = spec.episodes(gate) * spec.evaluation.repeats
        levels = passing_levels(gate, levels_of(criterion, spec.evaluation))
        truth = gate.truth(criterion)
        effect = design_effect(spec, gate, criterion)
        if effect == 1.0 and is_clear(spec, gate, criterion):
            continue
        n = max(1, round(n / effect))
        try:
            reached = power(criterion.claim, truth, n, *levels)
        except ValueError as error:
            yield Fault(
                criterion.position,
                "the declared expectations contradict one another, so no power follows",
                str(error),
                "an expect: discordant that the two expected rates allow",
            )
            continue
        if reached < TARGET:
            needed = enough_n(criterion.claim, truth, n, levels)
            fault = _weak(criterion, truth, n, reached, needed)
            yield fault if effect == 1.0 else _few_groups(spec, gate, fault, effect, needed)


def _few_groups(spec: Spec, gate: Gate, fault: Fault, effect: float, needed: int | None) -> Fault:
    """The finding, where it is groups that are too few."""
    n = spec.episodes(gate)
    groups = groups_of(spec) or n
    told = f"{n} episodes in {groups} groups count as {n / effect:.0f} at icc {gate.icc:g}: "
    instead = fault.instead
    if needed is not None:
        due = math.ceil(needed * effect * groups / n)
        instead = f"about {due} groups of this size, or a wider margin"
    return replace(fault, number=told + fault.number, instead=instead)


def is_clear(spec: Spec, gate: Gate, criterion: Criterion) -> bool:
    """Whether a criterion is expected so far beyond what is due that it always passes."""
    claim, n, truth = criterion.claim, spec.episodes(gate), gate.truth(criterion)
    if n < LARGE or criterion.expect_discordant is not None:
        return False
    from lpca.checker.adversaries import World
    from lpca.checker.decision import Columns, Tables, limit_of

    rates, columns = {name: truth.rate(name) for name in claim.conditions}, Columns((claim,))
    world = World.of(claim.conditions, [{name: rate} for name, rate in rates.items()])
    # correlation makes pairs differ less often, never more
    counts = (n * world.shares) @ columns.of_patterns(world.names, world.patterns)
    score = Tables(columns, (n,), (counts[None, :],)).scores(claim)[0]
    return float(score[0]) - limit_of(criterion, spec.evaluation, gate) > CLEAR


def _weak(criterion: Criterion, truth: Truth, n: int, reached: float, needed: int | None) -> Fault:
    if _below_near_zero(criterion.claim, truth.rates):
        instead = NEAR_ZERO_INSTEAD
    elif needed is not None:
        instead = f"n: {needed} or more, which reaches {TARGET}"
    elif truth.satisfies(criterion.claim):
        instead = "another margin: no feasible n reaches it"
    else:
        instead = "another claim or expectation: at these rates it is false, at any n"
    return Fault(
        criterion.position,
        f"{criterion.id} would mostly not pass even where expect: is true",
        f"power {reached:.2f} at n {n}, {TARGET} is due",
        instead,
    )


def _unknown(gate: Gate, criterion: Criterion) -> list[str]:
    return [name for name in criterion.claim.conditions if name not in gate.expect]


@rule("power-unknown", "warning")
def power_unknown(spec: Spec) -> Iterator[Fault]:
    """No expectation is declared, so power cannot be computed."""
    for gate, criterion in deciding_criteria(spec):
        missing = _unknown(gate, criterion)
        if missing and criterion.claim.method is not None and criterion.decides:
            yield Fault(
                criterion.position,
                f"the power of {criterion.id} is unknown",
                f"gate {gate.name} declares no expectation for {', '.join(missing)}",
                f"expect: {{{', '.join(f'{name}: RATE' for name in missing)}}} in the gate",
            )
