"""How many episodes a claim needs, quickly: for messages, where `required_n` is for planning."""

from __future__ import annotations

from lpca.stats import Claim, Truth, power

TARGET = 0.8
"""The power every criterion must have at the declared expectations."""
LARGEST_N = 100_000


def enough_episodes(
    claim: Claim, truth: Truth, short: int, levels: tuple[float, float]
) -> int | None:
    """An n whose power reaches `TARGET`, at most a hundredth above the first one that does.

    `short` is an n known not to reach it, `levels` the confidences of one-sided claims and of
    equivalences. None when the claim is false under `truth` or no n up to 100000 reaches it.
    Raises as `lpca.stats.power` does.
    """
    if not truth.satisfies(claim) or short >= LARGEST_N:
        return None
    enough = short
    while power(claim, truth, enough, *levels) < TARGET:
        if enough == LARGEST_N:
            return None
        short, enough = enough, min(2 * enough, LARGEST_N)
    while enough - short > max(1, enough // 100):
        middle = (short + enough) // 2
        if power(claim, truth, middle, *levels) < TARGET:
            short = middle
        else:
            enough = middle
    return enough
