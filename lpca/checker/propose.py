"""A spec proposed for rows of somebody's, from what few validation episodes come to.

Its claims are those of the project that `lpca init` writes. Their margins follow from the gain of
text over nothing, their expectations from the rates that were measured, and n from the power that
the checker computes: the proposal is the strictest that the checker accepts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lpca.checker.check import Finding, check_spec, has_errors
from lpca.gatespec.load import parse_spec
from lpca.gatespec.model import Gate, Spec

SHARE = 0.75
"""Which part of the gain of text a channel is supposed to bring."""
SMALLEST, SPARE = 100, 1.5
"""The fewest episodes that are proposed, and by how many times more than needed: the rates that
the power follows from are themselves measured on few."""
USUAL = 400
"""More episodes are proposed only where nothing can be shown on so many."""
NORMAL = 1.96
"""The quantile of the normal distribution by which a measured rate may be off."""


@dataclass(frozen=True)
class Rates:
    """Success rates that are expected: without a message, with its text, with another's text.

    Args:
        p0: nothing in the slot.
        p1: the message as text.
        other: the donor's message as text.
        n: episodes that they were measured on; 0 where they are supposed.
    """

    p0: float
    p1: float
    other: float
    n: int = 0

    @classmethod
    def counted(cls, p0: int, p1: int, other: int, n: int) -> Rates:
        """Of counts, none of them 0 or 1: that few episodes cannot tell."""
        one, two, three = (round((count + 0.5) / (n + 1), 2) for count in (p0, p1, other))
        return cls(one, two, three, n)

    @property
    def gain(self) -> float:
        """What text adds."""
        return self.p1 - self.p0


@dataclass(frozen=True)
class Proposal:
    """A spec's text, and what the checker finds in it.

    Args:
        rates: what is expected.
        n: episodes a gate.
        k: positions of a packet.
        file: the episodes' file.
        seed: of the task.
        grouped: whether groups have several episodes.
        margin: by how much `normal` must be above p0 and `shuffle`.
        helps: by how much `shuffle` must not be above p0; 0: it must be below.
    """

    rates: Rates
    n: int
    k: int
    file: str = "episodes.jsonl"
    seed: int = 1
    grouped: bool = False
    margin: float = 0.1
    helps: float = 0.0

    @property
    def expected(self) -> dict[str, float]:
        """Rates by condition, of a channel that brings SHARE of the gain of text."""
        rates = self.rates
        normal = rates.p0 + SHARE * rates.gain
        shuffle = rates.p0 + SHARE * (rates.other - rates.p0)
        found = {"p0": rates.p0, "p1": rates.p1, "embed": rates.p1, "normal": normal}
        found |= {"null": rates.p0, "random": rates.p0, "shuffle": shuffle}
        return {name: round(rate, 2) for name, rate in found.items()}

    @property
    def band(self) -> tuple[float, float]:
        """Where p0 may lie: as far from its rate as that may be off, there and on n episodes."""
        p0 = self.rates.p0
        spread = NORMAL * math.sqrt(p0 * (1.0 - p0))
        # of what is supposed as much is unknown as of what 50 episodes tell
        off = spread * (1.0 / math.sqrt(self.rates.n or 50) + 1.7 / math.sqrt(self.n))
        return max(0.0, math.floor(20 * (p0 - off)) / 20), math.ceil(20 * (p0 + off)) / 20

    @property
    def text(self) -> str:
        """The spec, as a file has it."""
        low, high = self.band
        in_band = f"{low:.2f} < p0 < {high:.2f}" if low else f"p0 < {high:.2f}"
        helps = min(0.2, math.floor(20 * max(0.0, self.rates.gain) / 2) / 20)
        own = self.expected
        supposed = (
            "supposed" if not self.rates.n else f"measured on {self.rates.n} validation episodes"
        )
        misled = (
            ("shuffle_no_help", f"shuffle - p0 < {self.helps:.2f}", "another message does not help")
            if self.helps
            else ("shuffle_below_p0", "shuffle - p0 < 0", "another message misleads who reads it")
        )
        gate0 = [
            ("p0_in_band", in_band, "what B knows without a message, as far as it is known"),
            ("p1_above_p0", f"p1 - p0 > {helps:.2f}", "the message as text helps"),
        ]
        gate1 = [
            ("normal_above_p0", f"normal - p0 > {self.margin:.2f}", "the packets help"),
            ("normal_above_null", "normal - null > 0", "their content matters, not their presence"),
            (
                "normal_above_shuffle",
                f"normal - shuffle > {self.margin:.2f}",
                "this message helps more than another one does",
            ),
            misled,
            ("random_not_above_p0", "random - p0 < 0.20", "noise of the right size does not help"),
        ]
        icc = ", icc: 0.10" if self.grouped else ""
        rates = ", ".join(f"{name}: {rate:.2f}" for name, rate in own.items())
        lines = [
            "# What must hold, and the only place a threshold stands. README.md says where each",
            "# number is from.",
            "version: 1",
            "",
            "task:",
            "  name: episodes",
            f"  file: {self.file}",
            f"  seed: {self.seed}",
            "",
            "evaluation:",
            f"  n: {self.n}",
            "  score: likelihood",
            "  confidence: 0.95",
            "  equivalence_confidence: 0.90",
            "",
            "gates:",
            "  gate0:",
            "    title: The episodes are valid",
            "    conditions: [p0, p1]",
            f"    # {supposed}",
            f"    expect: {{p0: {own['p0']:.2f}, p1: {own['p1']:.2f}{icc}}}",
            "    criteria:",
            *_criteria(gate0),
            "",
            "  gate1:",
            "    title: The channel carries the message",
            "    requires: [gate0]",
            f"    k: [{self.k}]",
            "    conditions: [p0, p1, embed, normal, null, random, shuffle, first_k]",
            "    reported: [first_k]       # what as many tokens of text are worth",
            f"    # a channel that brings {100 * SHARE:.0f} % of what text does",
            f"    expect: {{{rates}{icc}}}",
            "    criteria:",
            "      - id: plumbing",
            "        claim: abs(embed - p1) < 0.05",
            "        why: the message's own embeddings, injected, do what its text does",
            "        expect: {discordant: 0.0}",
            "        cluster: none           # one computation, the same for every message",
            *_criteria(gate1),
        ]
        return "\n".join([*lines, ""])

    @cached_property
    def spec(self) -> Spec:
        """The typed spec."""
        return parse_spec(self.text)

    @cached_property
    def findings(self) -> list[Finding]:
        """What the checker finds in it."""
        return check_spec(self.spec)

    @property
    def sound(self) -> bool:
        """Whether the checker accepts it."""
        return not has_errors(self.findings)

    @property
    def gates(self) -> Sequence[Gate]:
        """Its gates."""
        return list(self.spec.gates.values())


def _criteria(told: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    for name, claim, why in told:
        yield f"      - id: {name}"
        yield f"        claim: {claim}"
        yield f"        why: {why}"


def proposed(first: Proposal, most: int) -> Proposal:
    """Return the strictest proposal that the checker accepts, on no more episodes than it needs.

    Args:
        first: what is known; its n, its margin and what `shuffle` must be are found here.
        most: the test episodes that there are.

    Returns:
        The proposal; where the checker accepts none, the loosest on all episodes.
    """
    largest = math.floor(20 * min(0.1, max(0.0, first.rates.gain) / 4)) / 20
    ways = [
        replace(first, n=n, margin=margin, helps=helps)
        for n in dict.fromkeys((min(USUAL, most), most))
        for margin in dict.fromkeys((largest, min(largest, 0.05), 0.0))
        for helps in (0.0, 0.1, 0.2)
        if helps or first.rates.other < first.rates.p0
    ]
    best = next((one for one in ways if one.sound), None)
    if best is None:
        return ways[-1]
    most = best.n
    sizes = list(range(SMALLEST, most, 20))
    low, high = 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if replace(best, n=sizes[middle]).sound else (middle + 1, high)
    if low == len(sizes):
        return best
    needed = sizes[low]
    enough = replace(best, n=min(most, 20 * math.ceil(SPARE * needed / 20)))
    return enough if enough.sound else best
