"""How many episodes a stopping rule saves, by simulation, and whether its error rates hold.

Outcomes are drawn from the `expect` rates of the default spec's gates, and again from those of a
magic prompt: `shuffle` and `static` succeed as often as `normal`, so that `normal > shuffle` is
false, exactly on its margin. Each gate, and the gate it requires, declares the rule; it ends when
one criterion of it is FAIL, or every one of both is decided; Gate 1 is also shown without its
equivalences. `passes` is the gate's share of PASS, beside that of all episodes at once;
`false claim` the share in which `normal > shuffle` came to PASS: at most alpha is allowed.
Intervals are 95 %: normal ones for means, Wilson's for shares.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from measured import ROOT, parser, publish

from lpca.evidence.model import CriterionResult
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Gate, Sequential, Spec
from lpca.judge.decide import judge, judge_gate
from lpca.judge.looks import is_decided, look_sizes
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.claims import Equivalence
from lpca.stats.proportions import wilson
from lpca.stats.truth import Truth, joint, ties_of
from lpca.stats.verdicts import Verdict

RULES = (Sequential("obrien-fleming", looks=4), Sequential("e-process", block=50))
GATES = ("gate0", "gate1", "gate1_open", "gate2")
CLAIM = "normal_above_shuffle"
SEED = 20260122


@dataclass(frozen=True)
class Ended:
    """One simulated gate: what it used, whether it passed, and what all episodes would say."""

    used: int
    passed: bool
    fixed: bool
    claim: bool
    claim_fixed: bool


def main() -> None:
    arguments = parser(__doc__, repeats=1)
    arguments.add_argument("--simulations", type=int, default=500, metavar="N")
    given = arguments.parse_args()
    spec = load_spec(ROOT / "gate_specs.yaml")
    rows = [
        row(spec, gate, label, rule, magic, given.simulations)
        for label, gate in cases(spec)
        for magic in ((False, True) if "shuffle" in gate.conditions else (False,))
        for rule in RULES
    ]
    alpha = (1.0 - spec.evaluation.confidence) / 2.0
    settings = {"simulations": given.simulations, "n": spec.evaluation.n, "alpha": alpha}
    publish("early", rows, given.out, settings)


def cases(spec: Spec) -> Iterator[tuple[str, Gate]]:
    for name in GATES:
        gate = spec.gates[name]
        yield name, gate
        kept = [one for one in gate.criteria if not isinstance(one.claim, Equivalence)]
        if len(kept) < len(gate.criteria):
            yield f"{name} without equivalences", replace(gate, criteria=tuple(kept))


def row(
    spec: Spec, gate: Gate, label: str, rule: Sequential, magic: bool, simulations: int
) -> dict[str, object]:
    declared = {name: replace(one, sequential=rule) for name, one in spec.gates.items()}
    early = replace(spec, gates={**declared, gate.name: replace(gate, sequential=rule)})
    fixed = replace(spec, gates={**spec.gates, gate.name: gate})
    found = [
        simulated(early, fixed, gate.name, rule, table)
        for table in tables(spec, gate, magic, simulations)
    ]
    n = spec.episodes(gate)
    claims = magic and any(one.id == CLAIM for one in gate.criteria)
    return {
        "gate": label,
        "truth": "a magic prompt" if magic else "as expected",
        "rule": f"{rule.rule}, {len(look_sizes(rule, n))} looks",
        "saved, %": mean([100.0 * (1.0 - one.used / n) for one in found]),
        "passes": share([one.passed for one in found]),
        "at once": share([one.fixed for one in found]),
        "false claim": share([one.claim for one in found]) if claims else "-",
        "claim at once": share([one.claim_fixed for one in found]) if claims else "-",
    }


def simulated(early: Spec, fixed: Spec, name: str, rule: Sequential, table: OutcomeTable) -> Ended:
    gate, sizes = early.gates[name], look_sizes(rule, table.n)
    heads = [table.head(size) for size in sizes]

    def at(look: int) -> bool:
        return look == len(sizes) - 1 or is_decided(early, name, heads[look])

    # what is decided stays so: the first look that decides is found by bisection
    end = bisect_left(range(len(sizes)), True, key=at)
    seen = judge(early, name, heads[end])
    own = judge_gate(gate, heads[end], early.evaluation)
    whole = judge_gate(fixed.gates[name], table, fixed.evaluation)
    return Ended(
        used=sizes[end],
        passed=seen.verdict is Verdict.PASS,
        fixed=judge(fixed, name, table).verdict is Verdict.PASS,
        claim=_shown(own.criteria),
        claim_fixed=_shown(whole.criteria),
    )


def _shown(criteria: Sequence[CriterionResult]) -> bool:
    return any(one.id == CLAIM and one.verdict is Verdict.PASS for one in criteria)


def tables(spec: Spec, gate: Gate, magic: bool, count: int) -> Iterator[OutcomeTable]:
    rates = dict(gate.expect)
    if magic:
        same = {"shuffle", "static"} & rates.keys()
        rates |= dict.fromkeys(same, rates["normal"])
    names, n = list(gate.conditions), spec.episodes(gate)
    truth = Truth(rates, gate.correlation)
    apart = [one.expect_discordant for one in gate.criteria]
    patterns = joint(names, truth, ties_of([one.claim for one in gate.criteria], apart))
    masses = np.array(list(patterns.values()))
    bits = np.array(list(patterns), dtype=bool)
    draw = np.random.default_rng(SEED)
    for _ in range(count):
        drawn = bits[draw.choice(len(bits), size=n, p=masses / masses.sum())]
        outcomes = {name: tuple(drawn[:, at].tolist()) for at, name in enumerate(names)}
        yield OutcomeTable(tuple(range(n)), outcomes)


def mean(values: list[float]) -> str:
    sample = np.array(values)
    half = 1.96 * float(sample.std(ddof=1)) / math.sqrt(len(sample))
    return f"{sample.mean():.1f} ± {half:.1f}"


def share(values: list[bool]) -> str:
    limits = wilson(sum(values), len(values))
    return f"{sum(values) / len(values):.3f} ({limits.low:.3f} to {limits.high:.3f})"


if __name__ == "__main__":
    main()
