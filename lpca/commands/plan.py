"""`lpca plan`: how many episodes each criterion and each gate needs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lpca.base.errors import ExitCode, RequestError
from lpca.checker.adversaries import ADVERSARIES, truth
from lpca.checker.groups import Alike, design_effect, groups_of
from lpca.checker.rule import deciding, is_decidable
from lpca.checker.simulate import Drawn, Simulator
from lpca.checker.whole import attack
from lpca.commands.cli import tell
from lpca.evidence.model import Evidence
from lpca.evidence.runs import run_named
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import Criterion, Gate, Spec, cluster_of, levels_of, passing_levels
from lpca.judge.stored import read_stored
from lpca.stats.planning import LARGEST_N, TARGET, power, required_n

SIZES = (50, 100, 200, 400, 800, 1600)
_WIDTH = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("spec", nargs="?", default="gate_specs.yaml", help="the spec to plan for")
    parser.add_argument(
        "--from",
        dest="evidence",
        metavar="EVIDENCE",
        help="take the rates of this evidence for what is expected",
    )
    parser.add_argument(
        "--train-seeds",
        type=int,
        metavar="M",
        help="the power of M training seeds that must all hold",
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print one table of power by n per gate."""
    spec, seeds = load_spec(arguments.spec), arguments.train_seeds
    if seeds is not None and seeds < 2:
        raise RequestError(f"--train-seeds {seeds}: allowed: whole numbers from 2 on")
    if arguments.evidence:
        evidence = read_stored(run_named(arguments.evidence), tell=tell)
        spec = _measured(spec, evidence)
        print(_groups(evidence))
    try:
        for gate in spec.gates.values():
            print(power_table(spec, gate, seeds))
            print(_verdicts(spec, gate))
    except ValueError as error:
        raise RequestError(f"{arguments.spec}: {error}") from error
    return ExitCode.PASS


def power_table(spec: Spec, gate: Gate, seeds: int | None = None) -> str:
    """Return the power of a gate and of each of its criteria by n, and the n that reaches 0.8."""
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
        try:
            powers = whole_powers(spec, gate, sizes)
        except ValueError as error:  # a required gate of which nothing is expected
            lines.append(f"  {'the whole gate':{width - 2}} unknown: {error}")
        else:
            lines.append(_shares("the whole gate", powers, width))
            lines += _of_seeds(seeds, powers, width) if seeds else []
            lines += _repeated(spec, gate)
    lines += _in_groups(spec, gate, [one for one in planned if one.decides])
    family = f"; one k of {len(gate.family)} (Holm)" if gate.any_k else ""
    lines.append(f"  *: the gate's own n; correlation {gate.correlation:g}{family}\n")
    return "\n".join(lines)


def _plannable(gate: Gate, criterion: Criterion) -> bool:
    known = all(name in gate.expect for name in criterion.claim.conditions)
    return known and criterion.claim.method is not None


def _row(spec: Spec, gate: Gate, one: Criterion, sizes: Sequence[int], width: int) -> str:
    levels = passing_levels(gate, levels_of(one, spec.evaluation))
    truth = gate.truth(one)
    counted = [_counted(spec, gate, one, n) for n in sizes]
    cells = "".join(f"{power(one.claim, truth, n, *levels):9.3f}" for n in counted)
    needed = required_n(one.claim, truth, 0.8, *levels)
    if needed is not None and Alike.of(spec, gate) is not None:
        needed = next((n for n in _larger(needed) if _counted(spec, gate, one, n) >= needed), None)
    return f"  {one.id:{width - 2}}{cells}{'none' if needed is None else needed:>12}"


def _counted(spec: Spec, gate: Gate, one: Criterion, n: int) -> int:
    """As how many episodes n of them count for a criterion, in the groups that the task has."""
    larger = replace(gate, n=n)
    gates = {**spec.gates, gate.name: larger}
    return max(1, round(n / design_effect(replace(spec, gates=gates), larger, one)))


def _larger(n: int) -> Iterator[int]:
    """Numbers of episodes from n on, each a hundredth more than the one before."""
    while n <= LARGEST_N:
        yield n
        n += max(1, n // 100)


def _in_groups(spec: Spec, gate: Gate, planned: Sequence[Criterion]) -> list[str]:
    """What the groups of a task may make of a gate's episodes: nobody knows before they are read.

    At a correlation of 1 within groups each counts as one episode.
    """
    groups, n = groups_of(spec), spec.episodes(gate)
    if groups is None or groups >= n:
        return []
    weak = []
    for one in planned:
        levels = passing_levels(gate, levels_of(one, spec.evaluation))
        over = cluster_of(one, spec.evaluation) == "group"
        if over and power(one.claim, gate.truth(one), groups, *levels) < TARGET:
            weak.append(one.id)
    told = (
        f"  {n} episodes in {groups} groups or fewer count as {n / _effect(spec, gate):.0f} at icc "
    )
    told += f"{gate.icc:g}, as {groups} at icc 1"
    lacking = f", where {', '.join(weak)} would have power below {TARGET}" if weak else ""
    return [told + lacking]


def _effect(spec: Spec, gate: Gate) -> float:
    alike = Alike.of(spec, gate)
    return 1.0 if alike is None else alike.effect


def _repeated(spec: Spec, gate: Gate) -> list[str]:
    """What repeats may add to the gate's power."""
    repeats, n = spec.evaluation.repeats, spec.episodes(gate)
    if repeats == 1:
        return []
    least, most = whole_powers(spec, gate, [n, n * repeats])
    return [
        f"  {repeats} repeats of each episode: the whole gate has power {least:.3f} where they "
        f"agree, {most:.3f} where each is as good as another episode"
    ]


def whole_powers(spec: Spec, gate: Gate, sizes: Sequence[int]) -> list[float]:
    """How often a gate passes at some n where `expect:` is true, as the checker simulates it.

    Its rule, its levels and the gates that it requires are those of the spec.
    """
    found = []
    for n in sizes:
        gates = {**spec.gates, gate.name: replace(gate, n=n)}
        simulator = Simulator(replace(spec, gates=gates), gates[gate.name])
        found.append(simulator.decide(truth(spec, gate)).share)
    return found


def _of_seeds(seeds: int, powers: Sequence[float], width: int) -> list[str]:
    """What several training seeds, of each of which the expectation is true, come to.

    All pass at most as often as one does, and by Bonferroni's bound at least 1 - m (1 - power).
    """
    return [
        _shares(f"all {seeds} seeds, at most", powers, width),
        _shares("  if independent", [power**seeds for power in powers], width),
        _shares("  at least", [max(0.0, 1.0 - seeds * (1.0 - power)) for power in powers], width),
    ]


def _shares(name: str, shares: Sequence[float], width: int) -> str:
    return f"  {name:{width - 2}}" + "".join(f"{share:9.3f}" for share in shares)


def _groups(evidence: Evidence) -> str:
    """What the groups of evidence come to: the claim that they cost most decides."""
    found = [(one.grouping, one) for one in evidence.result.criteria if one.grouping is not None]
    if not found:
        return "no groups are measured: each episode counts as one\n"
    grouping, one = max(found, key=lambda pair: pair[0].design_effect)
    n = one.n or 0
    return (
        f"{n} episodes in {grouping.groups} groups count as {n / grouping.design_effect:.0f} for "
        f"{one.id}: expect: {{icc: {grouping.icc:.2g}}}, design effect "
        f"{grouping.design_effect:.3g}\n"
    )


def _measured(spec: Spec, evidence: Evidence) -> Spec:
    """The spec, with the rates that evidence has in place of those it expects."""
    seen = {name: numbers.under(evidence.score) for name, numbers in evidence.conditions.items()}
    gates = {}
    for name, gate in spec.gates.items():
        rates = {
            one: seen[one].successes / evidence.conditions[one].n
            for one in gate.conditions
            if one in seen
        }
        gates[name] = replace(gate, expect={**gate.expect, **rates})
    return replace(spec, gates=gates)


def _verdicts(spec: Spec, gate: Gate) -> str:
    """How often the gate comes to each verdict: if what is expected is true, and if it is not."""
    what = "simulated, at the gate's own n"
    lines = [f"  {what:{_WIDTH}}{'PASS':>8}{'FAIL':>8}{'undecided':>11}"]
    if not deciding(gate) or not is_decidable(spec, gate):
        return "  no verdicts: a claim that no method decides\n"
    try:
        lines.append(_row_of("expect: is true", Simulator(spec, gate).decide(truth(spec, gate))))
    except ValueError as error:
        lines.append(f"  {'expect: is true':{_WIDTH}} unknown: {error}")
    for adversary in (one for one in ADVERSARIES if one.applies(spec, gate)):
        lines.append(_row_of(adversary.name, attack(spec, gate, adversary)))
    return "\n".join([*lines, ""])


def _row_of(name: str, seen: Drawn | None) -> str:
    if seen is None:
        return f"  {name:{_WIDTH}}{0.0:8.3f}"
    invalid = f"  (a required gate does not pass: {seen.invalid / seen.tables:.3f})"
    cells = f"{seen.share:8.3f}{seen.failed / seen.tables:8.3f}{seen.undecided / seen.tables:11.3f}"
    return f"  {name:{_WIDTH}}{cells}{invalid if seen.invalid else ''}"
