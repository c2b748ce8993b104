"""`lpca plan`: how many episodes each criterion and each gate needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lpca.base.errors import ExitCode, RequestError
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Criterion, Gate, Spec, levels_of, passing_levels
from lpca.stats.planning import gate_power, power, required_n

SIZES = (50, 100, 200, 400, 800, 1600)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("spec", nargs="?", default="gate_specs.yaml", help="the spec to plan for")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print one table of power by n per gate."""
    spec = load_spec(arguments.spec)
    try:
        for gate in spec.gates.values():
            print(_table(spec, gate))
    except ValueError as error:
        raise RequestError(f"{arguments.spec}: {error}") from error
    return ExitCode.PASS


def _table(spec: Spec, gate: Gate) -> str:
    own = spec.episodes(gate)
    sizes = sorted({*SIZES, own})
    planned = [criterion for criterion in gate.criteria if _plannable(gate, criterion)]
    width = max(24, *(len(criterion.id) for criterion in gate.criteria)) + 2
    head = "".join(f"{f'n={n}' + '*' * (n == own):>9}" for n in sizes)
    lines = [f"{gate.name}: {gate.title}", f"{'  power':{width}}{head}{'n for 0.8':>12}"]
    lines += [
        _row(spec, gate, criterion, sizes, width)
        if criterion in planned
        else f"  {criterion.id:{width - 2}} unknown: no rate expected, or no method decides it"
        for criterion in gate.criteria
    ]
    if all(criterion in planned for criterion in gate.deciding):
        lines.append(_whole(spec, gate, sizes, width))
    family = f"; one k of {len(gate.family)} (Holm)" if gate.any_k else ""
    lines.append(f"  *: the gate's own n; correlation {gate.correlation:g}{family}\n")
    return "\n".join(lines)


def _plannable(gate: Gate, criterion: Criterion) -> bool:
    known = all(name in gate.expect for name in criterion.claim.conditions)
    return known and criterion.claim.method is not None


def _row(spec: Spec, gate: Gate, one: Criterion, sizes: Sequence[int], width: int) -> str:
    levels = passing_levels(gate, levels_of(one, spec.evaluation))
    truth = gate.truth(one)
    cells = "".join(f"{power(one.claim, truth, n, *levels):9.3f}" for n in sizes)
    needed = required_n(one.claim, truth, 0.8, *levels)
    return f"  {one.id:{width - 2}}{cells}{'none' if needed is None else needed:>12}"


def _whole(spec: Spec, gate: Gate, sizes: Sequence[int], width: int) -> str:
    """Simulated: seeded, standard error at most 0.005."""
    evaluation = spec.evaluation
    levels = passing_levels(gate, (evaluation.confidence, evaluation.equivalence_confidence))
    claims = [criterion.claim for criterion in gate.deciding]
    apart = [criterion.expect_discordant for criterion in gate.deciding]
    powers = [gate_power(claims, gate.truth(), n, *levels, apart).power for n in sizes]
    return f"{'  the whole gate':{width}}" + "".join(f"{share:9.3f}" for share in powers)
