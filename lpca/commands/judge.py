"""`lpca judge`: gates decided from outcomes measured elsewhere, without any model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lpca.cli import UsageError
from lpca.exit_codes import ExitCode, worst
from lpca.judge import GateResult, OutcomeError, OutcomeTable, judge, judge_family
from lpca.judge.attempts import Attempt
from lpca.judge.decide import not_measured
from lpca.judge.files import read_outcomes
from lpca.judge.marginals import Marginals, pairing_range
from lpca.judge.measured import Measured
from lpca.spec.check import check_spec
from lpca.spec.load import SpecError, load_spec
from lpca.spec.model import Gate, Spec
from lpca.stats import PairedTable, Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("outcomes", help="a .json, .jsonl, .csv or .parquet file")
    parser.add_argument("--spec", default="gate_specs.yaml", help="the spec that decides")
    parser.add_argument("--gate", help="one gate; all that are not beside another by default")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print each gate's verdict; the exit code is that of the worst."""
    try:
        spec = load_spec(arguments.spec)
        contents = read_outcomes(arguments.outcomes)
        own = contents.gate if isinstance(contents, Measured) else None
        gates = _gates(spec, arguments.gate or own)
        _warn(spec)
        if isinstance(contents, Measured):
            return _judge_measured(spec, gates, contents)
        if isinstance(contents, OutcomeTable):
            return _judge_table(spec, gates, contents, chosen=arguments.gate is not None)
        if isinstance(contents, Marginals):
            return _judge_counts(spec, gates, contents)
        return worst([_judge_attempt(spec, gates, one) for one in contents])
    except (SpecError, OutcomeError) as error:
        raise UsageError(error) from error
    except TypeError as error:
        raise UsageError(f"{arguments.spec}: {error}") from error


def _gates(spec: Spec, name: str | None) -> list[Gate]:
    if name is None:
        beside = {other for gate in spec.gates.values() for other in gate.beside}
        return [gate for gate in spec.gates.values() if gate.name not in beside]
    if name not in spec.gates:
        from lpca.spec.fields import suggestion

        raise UsageError(f"{spec.file}: unknown gate {name[:60]!r}; {suggestion(name, spec.gates)}")
    return [spec.gates[name]]


def _warn(spec: Spec) -> None:
    errors = [one for one in check_spec(spec) if one.severity == "error"]
    if errors:
        print(f"{spec.file}: {len(errors)} errors, first {errors[0].rule}; see lpca check\n")


def _judge_table(spec: Spec, gates: Sequence[Gate], table: OutcomeTable, chosen: bool) -> ExitCode:
    codes = []
    for gate in gates:
        result = _result(spec, gate, table, whole=chosen or gate.answers != "unseen")
        codes.append(result.exit_code)
        print("\n".join(_lines(spec, gate, result)))
        for name in gate.beside:
            beside = _result(spec, spec.gates[name], table, whole=False)
            print("\n".join(_lines(spec, spec.gates[name], beside, "beside it, not gating: ")))
    return worst(codes)


def _judge_measured(spec: Spec, gates: Sequence[Gate], measured: Measured) -> ExitCode:
    codes = []
    for gate in gates:
        result = judge(spec, gate.name, measured.table, faults=measured.faults)
        result = _in_family(spec, gate, result, measured.table, measured.k)
        codes.append(result.exit_code)
        print("\n".join(_lines(spec, gate, result)))
    return worst(codes)


def _result(spec: Spec, gate: Gate, table: OutcomeTable, whole: bool) -> GateResult:
    """`whole`: rows without strata are taken for the gate's own."""
    try:
        own = table if whole and table.answers is None else table.stratum(gate.answers)
    except OutcomeError as error:
        return not_measured(gate, str(error))
    return _in_family(spec, gate, judge(spec, gate.name, own), own, None)


def _in_family(
    spec: Spec, gate: Gate, result: GateResult, table: OutcomeTable, k: int | None
) -> GateResult:
    """A gate of which any of several k suffices, from one of them; which one matters not."""
    if not gate.any_k or result.verdict in (Verdict.INVALID, Verdict.NOT_MEASURED):
        return result
    k = k if k in gate.family else gate.family[0]
    found = judge_family(gate, {k: table}, spec.evaluation)
    reason = (
        f"one of {len(gate.family)} k, of which any suffices, is {found.verdicts[k]}: "
        f"p {found.pvalues[k]:.2g}, {found.adjusted[k]:.2g} after Holm over all of them"
    )
    return replace(result, verdict=found.verdict, reasons=(reason,))


def _lines(spec: Spec, gate: Gate, result: GateResult, head: str = "") -> Iterator[str]:
    yield f"{head}{gate.name} ({gate.title}): {result.verdict}"
    for reason in result.reasons:
        yield f"  {reason}"
    sizes = {one.n for one in result.criteria if one.n is not None}
    for one in result.criteria:
        if one.n is not None:
            yield f"  {one.id} [{one.position}] {one.message}{_cells(one.table)}"
    declared = spec.episodes(gate)
    if sizes and sizes != {declared}:
        yield f"  decided on {sizes.pop()} episodes; the spec declares {declared}"
    yield ""


def _cells(table: PairedTable | None) -> str:
    return "" if table is None else f" Pairs: a {table.a}, b {table.b}, c {table.c}, d {table.d}."


def _judge_counts(spec: Spec, gates: Sequence[Gate], counts: Marginals) -> ExitCode:
    for gate in gates:
        print("\n".join(_range_lines(spec, gate, counts)))
    return ExitCode.NOT_MEASURED


def _range_lines(spec: Spec, gate: Gate, counts: Marginals) -> Iterator[str]:
    yield (
        f"{gate.name} ({gate.title}): NOT MEASURED. Counts alone ({counts.n} episodes each) do not "
        "decide paired claims; over all pairings:"
    )
    ranges = [pairing_range(one, counts, spec.evaluation) for one in gate.criteria]
    for one in ranges:
        yield f"  {one.message}"
    hopeless = [one.id for one in ranges if one.cannot_pass]
    if hopeless:
        yield f"  the gate cannot PASS under any pairing: {', '.join(hopeless)} cannot"
    yield ""


def _judge_attempt(spec: Spec, gates: Sequence[Gate], attempt: Attempt) -> ExitCode:
    size = f"n {attempt.n}" if attempt.n is not None else "its n was not published"
    if not attempt.valid:
        print(f"{attempt.id} ({size}): INVALID, its results are not read")
        for fault in attempt.faults:
            print(f"  {fault}")
        print()
        return ExitCode.INVALID
    print(f"{attempt.id} ({size}):")
    for k, counts in attempt.counts:
        print(f"k={k}")
        _judge_counts(spec, gates, counts)
    return ExitCode.NOT_MEASURED
