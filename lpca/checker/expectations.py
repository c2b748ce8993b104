"""Is what `expect:` supposes possible, and does it suppose no more than anybody can know?"""

from __future__ import annotations

from collections.abc import Iterator

from lpca.base.numbers import percent
from lpca.checker.adversaries import draws_options, options_of
from lpca.checker.rule import Fault, criteria, place, rule
from lpca.gatespec.model import Gate, Spec
from lpca.stats.claims import Difference, Equivalence, Ratio

MESSAGE_FREE = ("p0", "null", "random", "shaped", "static", "mean", "empty")
"""Conditions from which B learns nothing of the message: it can only guess."""
SLACK = 0.10
"""How far an expected rate of guessing may be from one in so many options."""
MOST_CORRELATION = 0.95
"""Beyond it outcomes are supposed to be the same, episode by episode."""
LEAST_APART = 0.05
"""The share of what independent outcomes would differ by that nobody can know beforehand."""
ONE_THING = {frozenset({"embed", "p1"})}
"""Pairs that agree because they are one thing: the message's own embeddings, and its text."""
NEAR_ZERO = 0.05
"""Below this expected rate a ratio to it says how rare it is, not how good the other is."""


@rule("impossible-expectation", "error")
def impossible_expectation(spec: Spec) -> Iterator[Fault]:
    """A rate is expected that the task cannot give."""
    # of a user's own questions nobody knows which answers are common, or known without a message
    options = options_of(spec) if draws_options(spec) else None
    if options is None:
        return
    guess = 1.0 / options
    for gate in spec.gates.values():
        for name, rate in gate.expect.items():
            blind = name in MESSAGE_FREE
            over = rate > guess + SLACK and (blind or name == "shuffle")
            # what scores highest of the options is right as often as any other; a text need not be
            under = rate < guess - SLACK and blind and spec.evaluation.score == "likelihood"
            if over or under:
                yield Fault(
                    place(gate, "expect"),
                    f"gate {gate.name} expects {name} at {percent(rate)}, which task "
                    f"{spec.task.name} cannot give",
                    f"one of {options} options is right by guessing {percent(guess)} of the time",
                    f"{name}: {guess:.3g}",
                )


@rule("assumed-agreement", "error")
def assumed_agreement(spec: Spec) -> Iterator[Fault]:
    """Outcomes are supposed to agree where nothing makes them."""
    for gate in spec.gates.values():
        if gate.correlation > MOST_CORRELATION:
            yield Fault(
                place(gate, "expect"),
                f"gate {gate.name} supposes that one draw decides all its conditions at once",
                f"correlation {gate.correlation:g}; at most {MOST_CORRELATION:g} can be supposed",
                "correlation: 0, or what an earlier run has shown",
            )
    for gate, criterion in criteria(spec):
        claim, apart = criterion.claim, criterion.expect_discordant
        if apart is None or not isinstance(claim, Difference | Equivalence | Ratio):
            continue
        independent = _independent(gate, claim)
        if frozenset(claim.conditions) in ONE_THING or independent is None:
            continue
        if apart < LEAST_APART * independent:
            yield Fault(
                criterion.position,
                f"{claim.first} and {claim.second} are supposed to agree on nearly every episode, "
                "and nothing makes them",
                f"discordant {apart:g}; at their rates independent outcomes differ on "
                f"{percent(independent)}",
                "no discordant, or what an earlier run has shown",
            )


def _independent(gate: Gate, claim: Difference | Equivalence | Ratio) -> float | None:
    """How often two conditions would differ if they were independent."""
    first, second = gate.expect.get(claim.first), gate.expect.get(claim.second)
    if first is None or second is None:
        return None
    return first * (1.0 - second) + second * (1.0 - first)


@rule("ratio-near-zero", "warning")
def ratio_near_zero(spec: Spec) -> Iterator[Fault]:
    """A ratio over a condition that hardly ever succeeds."""
    for gate, criterion in criteria(spec):
        claim = criterion.claim
        base = gate.expect.get(claim.second, 1.0) if isinstance(claim, Ratio) else 1.0
        if isinstance(claim, Ratio) and base < NEAR_ZERO:
            n = spec.episodes(gate)
            yield Fault(
                criterion.position,
                f"{criterion.text} is a ratio over {claim.second}, which is near 0",
                f"{claim.second} is expected to succeed {round(n * base)} times of {n}: one more "
                "or less moves the ratio most",
                f"a difference: {claim.first} - {claim.second} {claim.relation} MARGIN",
            )
