"""What is supposed true when power is computed: success rates and how they hang together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from lpca.stats.claims import Claim, Difference, Equivalence, Ratio, bounds_of_mean, decidable

Ties = Mapping[str, tuple[str, float]]
"""By condition: another one, and the probability that the two differ on an episode."""


@dataclass(frozen=True)
class Truth:
    """Supposed success rates by condition, and the dependence of outcomes within an episode.

    Args:
        rates: by condition, in [0, 1].
        correlation: the share of episodes, in [0, 1], on which one draw of difficulty decides
            every condition; on the others conditions are independent. For two equal rates it is
            the phi coefficient, in general phi over the largest phi the two rates permit: 0
            independent, 1 as alike as the rates allow.
        discordant: the probability that exactly one of a claim's two conditions succeeds, instead
            of what `correlation` makes it.

    Raises:
        ValueError: a number outside [0, 1].

    Example:
        >>> from lpca.stats.claims import Difference
        >>> Truth({"normal": 0.5, "p0": 0.25}).satisfies(Difference("normal", "p0", ">", 0.1))
        True
    """

    rates: Mapping[str, float]
    correlation: float = 0.0
    discordant: float | None = None

    def __post_init__(self) -> None:
        named = {**self.rates, "correlation": self.correlation}
        if self.discordant is not None:
            named["discordant"] = self.discordant
        for name, value in named.items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")

    def rate(self, condition: str) -> float:
        """The supposed rate. Raises ValueError when none is given for the condition."""
        if condition not in self.rates:
            raise ValueError(f"no success rate is supposed for condition {condition!r}")
        return self.rates[condition]

    def satisfies(self, claim: Claim) -> bool:
        """Whether the claim is true. Raises TypeError for a claim that cannot be decided."""
        claim = decidable(claim)
        mean = claim.value(*map(self.rate, claim.conditions))
        return bounds_of_mean(claim).has_inside(mean)


def joint(conditions: Sequence[str], truth: Truth, ties: Ties) -> dict[tuple[int, ...], float]:
    """Probability of every pattern of outcomes, in the order of `conditions`.

    A tied condition depends on its partner alone. Raises ValueError when a stated disagreement
    contradicts the two rates or a tie's partner is missing or itself tied.
    """
    free = [name for name in conditions if name not in ties]
    for name, (partner, _) in ties.items():
        if partner not in free:
            raise ValueError(f"{name} is tied to {partner}, which is not a free condition")
    place = {name: index for index, name in enumerate(free)}
    patterns = {}  # at most 2 ** 14 of them: a gate runs no more conditions
    for bits in product((0, 1), repeat=len(free)):
        for tied in product((0, 1), repeat=len(ties)):
            mass = _free_mass(bits, [truth.rate(name) for name in free], truth.correlation)
            outcome = {name: bits[place[name]] for name in free}
            for (name, (partner, apart)), bit in zip(ties.items(), tied, strict=True):
                given = success_given(outcome[partner], truth, name, partner, apart)
                mass *= given if bit else 1.0 - given
                outcome[name] = bit
            patterns[tuple(outcome[name] for name in conditions)] = mass
    return patterns


def _free_mass(bits: Sequence[int], rates: Sequence[float], correlation: float) -> float:
    apart = prod(p if x else 1.0 - p for x, p in zip(bits, rates, strict=True))
    succeed = min((p for x, p in zip(bits, rates, strict=True) if x), default=1.0)
    fail = max((p for x, p in zip(bits, rates, strict=True) if not x), default=0.0)
    return (1.0 - correlation) * apart + correlation * max(0.0, succeed - fail)


def success_given(
    partner_succeeds: int, truth: Truth, name: str, partner: str, discordant: float
) -> float:
    """How often a condition tied to a partner succeeds, given the partner's outcome.

    Raises ValueError where the two rates contradict the share of episodes on which they differ.
    """
    p1, p2 = truth.rate(name), truth.rate(partner)
    only_first, only_second = (discordant + p1 - p2) / 2.0, (discordant - p1 + p2) / 2.0
    slack = 1e-12  # rates such as 0.3 are no binary fractions: their sums miss by some 1e-16
    if min(only_first, only_second) < -slack or discordant > min(p1 + p2, 2 - p1 - p2) + slack:
        raise ValueError(
            f"{name} at {p1} and {partner} at {p2} cannot differ on {discordant} of the episodes"
        )
    if partner_succeeds:
        return min(1.0, max(0.0, 1.0 - only_second / p2)) if p2 else 0.0
    return min(1.0, max(0.0, only_first / (1.0 - p2))) if p2 < 1.0 else 0.0


def ties_of(claims: Sequence[Claim], discordant: Sequence[float | None]) -> Ties:
    """Which condition each claim ties to which: the first to the second, where a share is stated.

    Raises ValueError when one condition is tied twice.
    """
    ties: dict[str, tuple[str, float]] = {}
    for claim, share in zip(claims, discordant, strict=True):
        if share is None or not isinstance(claim, Difference | Equivalence | Ratio):
            continue
        if ties.get(claim.first, (claim.second, share)) != (claim.second, share):
            raise ValueError(f"the disagreement of {claim.first} is stated twice")
        ties[claim.first] = (claim.second, share)
    return ties
