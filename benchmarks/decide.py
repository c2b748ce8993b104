"""How long deciding takes, without any model: a gate from its outcomes, a spec's power table.

Gate 1 of the default spec, with the gate it requires, on 1,000 to 1,000,000 simulated episodes.
`decide` is from the outcome table to the verdict; `table` makes and checks that table from Python
outcomes before. The yardstick is numpy counting each condition's successes over the same outcomes.
"A claim undecided" sets the codec's rate where one criterion stays open (`open` counts them): then
the n that would decide it is looked for as well, unless that is beyond 100,000. `lpca plan` runs
in a process of its own, imports included.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import numpy as np
from measured import ENVIRONMENT, ROOT, Spread, interleaved, parser, publish

from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Spec
from lpca.judge.decide import judge
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.verdicts import Verdict

SIZES = (1_000, 10_000, 50_000, 100_000, 1_000_000)
GATE, SEED = "gate1", 20260122
GOALS = {100_000: 0.05, "lpca plan": 2.0}
"""Seconds."""


def main() -> None:
    given = parser(__doc__, repeats=9).parse_args()
    spec = load_spec(ROOT / "gate_specs.yaml")
    rows = [row(spec, n, undecided, given.repeats) for undecided in (False, True) for n in SIZES]
    settings = {"gate": GATE, "criteria": len(spec.gates[GATE].criteria), "repeats": given.repeats}
    publish("decide", [*rows, plan(given.repeats)], given.out, settings)


def row(spec: Spec, n: int, undecided: bool, repeats: int) -> dict[str, object]:
    drawn = outcomes(spec, n, undecided)
    seeds = tuple(range(n))
    held = {name: tuple(values.tolist()) for name, values in drawn.items()}
    tables: list[OutcomeTable] = []

    def table() -> None:
        tables[:] = [OutcomeTable(seeds, held)]

    seconds = interleaved(
        {
            "table": table,
            "decide": lambda: judge(spec, GATE, tables[0]),
            "numpy": lambda: [int(values.sum()) for values in drawn.values()],
        },
        repeats,
    )
    whole = Spread(
        tuple(a + b for a, b in zip(seconds["table"].values, seconds["decide"].values, strict=True))
    )
    return {
        "what": "a claim undecided" if undecided else "all claims clear",
        "episodes": n,
        "open": sum(
            one.verdict is Verdict.INCONCLUSIVE for one in judge(spec, GATE, tables[0]).criteria
        ),
        "table, s": seconds["table"],
        "decide, s": seconds["decide"],
        "both, s": whole,
        "goal": GOALS.get(n, "-"),
        "times numpy": seconds["decide"].per(seconds["numpy"]),
    }


def outcomes(spec: Spec, n: int, undecided: bool) -> dict[str, np.ndarray]:
    """Each condition at its expected rate; `embed` as `p1`, as where injection is sound.

    Undecided: without a message the rate is the codec's less the margin of `normal_above_p0`.
    """
    gate, draw = spec.gates[GATE], np.random.default_rng(SEED)
    rates = dict(gate.expect)
    if undecided:
        rates["normal"] = rates["p0"] + 0.10
    drawn = {name: draw.random(n) < rates[name] for name in gate.conditions}
    return {**drawn, "embed": drawn["p1"].copy()}


def plan(repeats: int) -> dict[str, object]:
    def run(*arguments: str) -> None:
        command = [sys.executable, *arguments]
        subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=True)

    seconds = interleaved(
        {
            "plan": partial(run, "-m", "lpca", "plan"),
            "pass": partial(run, "-c", "pass"),
            "numpy": partial(run, "-c", "import numpy"),
        },
        repeats,
    )
    return {
        "command": "lpca plan",
        "seconds": seconds["plan"],
        "goal": GOALS["lpca plan"],
        "times python -c pass": seconds["plan"].per(seconds["pass"]),
        "times import numpy": seconds["plan"].per(seconds["numpy"]),
    }


if __name__ == "__main__":
    main()
