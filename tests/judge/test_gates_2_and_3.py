"""Gate 2's statistic against its definition; gate 3 on runs that report and runs that do not."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from lpca.checker.check import check_spec
from lpca.evidence.model import CriterionResult
from lpca.gatespec.load import load_spec
from lpca.judge.decide import judge
from lpca.judge.outcomes import OutcomeTable
from lpca.stats.claims import Gain
from lpca.stats.verdicts import Verdict

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "gate_specs.yaml", ROOT / "examples" / "relay" / "gate_specs.yaml")
VALUES = (-1.0, -0.5, 0.0, 0.5, 1.0)


def outcomes(rates: dict[str, float], n: int, seed: int) -> OutcomeTable:
    """Episodes some of which are easier than others, so that conditions go together."""
    rng = random.Random(seed)
    hard = [rng.random() for _ in range(n)]
    return OutcomeTable(
        tuple(range(n)),
        {
            name: tuple((0.5 * h + 0.5 * rng.random()) < rate for h in hard)
            for name, rate in rates.items()
        },
        ("seen",) * n,
    )


def halves(table: OutcomeTable) -> list[float]:
    """normal - p1/2 - p0/2 of each episode."""
    columns = (table.outcomes[name] for name in ("normal", "p1", "p0"))
    return [normal - text / 2 - nothing / 2 for normal, text, nothing in zip(*columns, strict=True)]


def slow_p(values: Sequence[float]) -> float:
    """P-value that the mean is above 0: the score with a general optimiser's restricted fit."""
    counts = np.array([sum(v == value for v in values) for value in VALUES], dtype=float)
    support, n = np.array(VALUES), len(values)
    fit = minimize(
        lambda p: -np.sum(counts * np.log(np.maximum(p, 1e-300))),
        np.full(5, 0.2),
        bounds=[(1e-9, 1)] * 5,
        constraints=[
            {"type": "eq", "fun": lambda p: p.sum() - 1},
            {"type": "eq", "fun": lambda p: p @ support},
        ],
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 2000},
    )
    variance = float(fit.x @ support**2)
    return float(norm.sf(sum(values) / n / math.sqrt(variance / n)))


def half_of_the_gain(file: Path, table: OutcomeTable) -> CriterionResult:
    spec = load_spec(file)
    spec = replace(spec, evaluation=replace(spec.evaluation, n=table.n))
    found = judge(spec, "gate2", table).criteria
    return next(one for one in found if one.id == "half_of_the_gain")


@pytest.mark.parametrize("file", FILES, ids=["trip", "relay"])
def test_the_gates_are_sound_and_claim_half_of_the_gain(file: Path) -> None:
    spec = load_spec(file)
    assert check_spec(spec) == []
    assert spec.gates["gate2"].criteria[0].claim == Gain("normal", "p1", "p0", 0.5)
    assert spec.gates["gate2"].requires == ("gate0",)


@pytest.mark.parametrize("normal", [0.42, 0.5, 0.53, 0.6, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_the_statistic_is_the_mean_over_episodes_and_its_score(normal: float, seed: int) -> None:
    rates = {"p0": 0.36, "p1": 0.7, "normal": normal, "null": 0.25, "shuffle": 0.1}
    table = outcomes(rates, 300, seed)
    result, values = half_of_the_gain(FILES[0], table), halves(table)
    assert result.p_pass is not None
    assert result.estimate == pytest.approx(sum(values) / len(values), abs=1e-12)
    assert result.p_pass == pytest.approx(slow_p(values), abs=2e-4)
    assert result.interval is not None
    assert (result.verdict is Verdict.PASS) == (result.interval.low > 0)


def test_text_as_good_as_the_latents_and_no_better_than_nothing() -> None:
    """Half of no gain is no gain: without a margin that text earns, nothing passes by itself."""
    same = tuple(i % 4 == 0 for i in range(400))
    table = OutcomeTable(
        tuple(range(400)),
        dict.fromkeys(("p0", "p1", "normal", "null", "shuffle"), same),
        ("seen",) * 400,
    )
    assert judge(load_spec(FILES[0]), "gate2", table).verdict is Verdict.INVALID


@pytest.mark.parametrize(("normal", "verdict"), [(40, "FAIL"), (56, "INCONCLUSIVE"), (70, "PASS")])
def test_the_verdict_turns_at_half_of_the_gain(normal: int, verdict: str) -> None:
    """p0 25 % and p1 85 %: half of the gain lies at 55 %."""
    n, order = 400, [(i * 37) % 100 for i in range(400)]
    counts = {"p0": 25, "p1": 85, "normal": normal, "null": 20, "shuffle": 5}
    table = OutcomeTable(
        tuple(range(n)),
        {name: tuple(place < count for place in order) for name, count in counts.items()},
        ("seen",) * n,
    )
    assert half_of_the_gain(FILES[0], table).verdict.value == verdict


def test_gate_3_reads_numbers_of_every_kind_of_message() -> None:
    gate = load_spec(FILES[0]).gates["gate3"]
    assert set(gate.reported) == set(gate.conditions)
    assert {"p0", "p1", "normal"} <= set(gate.reported)
    assert any(name.startswith("p2_") for name in gate.reported)
