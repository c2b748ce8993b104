"""`lpca judge`: gates decided from outcomes measured elsewhere, without any model."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from lpca.base.errors import ExitCode, RequestError, worst
from lpca.base.numbers import PERCENT, amount, span
from lpca.base.registry import suggestion
from lpca.checker.check import check_spec
from lpca.evidence.model import GateResult
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import CONDITIONS, Evaluation, Gate, Spec
from lpca.judge.decide import explored, judge, judge_family, unread
from lpca.judge.marginals import Attempt, Marginals, pairing_range
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, clusters_of, shown
from lpca.judge.reader import Contents, Measured, read_conditions, read_outcomes
from lpca.judge.rows import ROLES, Reading
from lpca.judge.successes import rate_interval
from lpca.report.layout import fitting, wrapped
from lpca.report.layout import table as columns
from lpca.report.next_steps import Found, next_step
from lpca.report.sentences import closing, grouped, standing
from lpca.report.terminal import criteria_lines, success_heads
from lpca.stats.verdicts import Verdict

_COMMA = re.compile(r",(?=[^,=]*=)")
"""A comma behind which another NAME=COLUMN begins; a metric's name may have one of its own."""
_SINGLE = "each episode counts as one piece of evidence"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "outcomes",
        nargs="?",
        help="a table (.csv, .jsonl, .json, .parquet), evidence, or a harness's log",
    )
    parser.add_argument(
        "--as",
        dest="files",
        action="append",
        default=[],
        metavar="CONDITION=FILE",
        help="in place of OUTCOMES the file of one condition; may be given again",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="NAME=COLUMN,...",
        help="what a condition, episode, group, repeat or outcome is called in the file",
    )
    parser.add_argument("--metric", help="the metric or column with the outcomes of a --as FILE")
    parser.add_argument("--spec", default="gate_specs.yaml", help="the spec that decides")
    parser.add_argument("--gate", help="one gate; all that are not beside another by default")
    parser.add_argument("--verbose", action="store_true", help="with intervals, pairs and p-values")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print each gate's verdict; the exit code is that of the worst."""
    try:
        spec = load_spec(arguments.spec)
        notes: list[str] = []
        contents = _contents(arguments, spec, notes)
        own = contents.gate if isinstance(contents, Measured) else None
        gates = _gates(spec, arguments.gate or own)
        _warn(spec)
        _note(notes)
        if isinstance(contents, Measured):
            return _judge_measured(spec, gates, contents, arguments.verbose)
        if isinstance(contents, OutcomeTable):
            chosen = arguments.gate is not None
            return _judge_table(spec, gates, contents, chosen, arguments.verbose)
        if isinstance(contents, Marginals):
            return _judge_counts(spec, gates, contents)
        return worst([_judge_attempt(spec, gates, content) for content in contents])
    except TypeError as error:
        raise RequestError(f"{arguments.spec}: {error}") from error


def _contents(arguments: argparse.Namespace, spec: Spec, notes: list[str]) -> Contents:
    """What is to be judged; `notes` takes what a reader of the verdict should know of it."""
    files = _pairs("--as", arguments.files, CONDITIONS)
    if bool(files) == bool(arguments.outcomes):
        raise RequestError("lpca judge: allowed: either OUTCOMES, or --as CONDITION=FILE for each")
    listed = [pair for one in arguments.map for pair in _COMMA.split(one)]
    reading = Reading(
        _pairs("--map", listed, ROLES, CONDITIONS),
        arguments.metric,
        spec.evaluation.score == "graded",
        notes.append,
    )
    if files:
        contents: Contents = read_conditions(files, reading)
    else:
        contents = read_outcomes(arguments.outcomes, reading)
    if isinstance(contents, OutcomeTable) and contents.groups is None:
        notes.append(f"no column group: {_SINGLE}")
    if isinstance(contents, Measured):
        if contents.table.groups is None:
            notes.append(f"the evidence keeps no groups: {_SINGLE}")
        if contents.unchecked:
            notes.append(f"WARNING: validity checks not carried out: {shown(contents.unchecked)}")
        if contents.spec != spec.sha256:
            notes.append(f"WARNING: the run was judged by another spec than {spec.file}")
    return contents


def _pairs(option: str, given: Sequence[str], *allowed: Collection[str]) -> dict[str, str]:
    """What an option's NAME=VALUE say; RequestError for another name, or one that stands twice."""
    found: dict[str, str] = {}
    for pair in given:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not equals or not value:
            raise RequestError(f"{option} {clipped(pair)}: allowed: NAME=VALUE")
        if not any(name in names for names in allowed):
            hint = suggestion(name, chain.from_iterable(allowed))
            raise RequestError(f"{option} {clipped(pair)}: {hint}")
        if name in found or value in found.values():
            raise RequestError(f"{option} {clipped(pair)}: stands twice; once is allowed")
        found[name] = value
    return found


def _note(notes: Sequence[str]) -> None:
    for note in dict.fromkeys(notes):
        say(note)
    if notes:
        print()


def _gates(spec: Spec, name: str | None) -> list[Gate]:
    if name is None:
        others = {other for gate in spec.gates.values() for other in gate.shown_with}
        return [gate for gate in spec.gates.values() if gate.name not in others]
    if name not in spec.gates:
        raise RequestError(
            f"{spec.file}: unknown gate {name[:60]!r}; {suggestion(name, spec.gates)}"
        )
    return [spec.gates[name]]


def _warn(spec: Spec) -> None:
    errors = [one for one in check_spec(spec) if one.severity == "error"]
    if errors:
        say(f"{spec.file}: {len(errors)} errors, first {errors[0].rule}; see lpca check")
        print()


def _judge_table(
    spec: Spec, gates: Sequence[Gate], table: OutcomeTable, chosen: bool, verbose: bool
) -> ExitCode:
    codes = []
    for gate in gates:
        result = _result(spec, gate, table, whole=chosen or gate.answers != "unseen")
        codes.append(result.exit_code)
        show(spec, gate, result, table, verbose)
        for name in gate.shown_with:
            other = _result(spec, spec.gates[name], table, whole=False)
            show(spec, spec.gates[name], other, table, verbose, " (beside; sets no exit code)")
    return worst(codes)


def _judge_measured(
    spec: Spec, gates: Sequence[Gate], measured: Measured, verbose: bool
) -> ExitCode:
    codes = []
    for gate in gates:
        if measured.explored:
            own = spec.on_at_most(gate.name, measured.table.units)
            result = explored(judge(own, gate.name, measured.table, faults=measured.faults))
        else:
            result = judge(spec, gate.name, measured.table, faults=measured.faults)
            result = _in_family(spec, gate, result, measured.table, measured.k)
        codes.append(result.exit_code)
        show(spec, gate, result, measured.table, verbose)
    return worst(codes)


def _result(spec: Spec, gate: Gate, table: OutcomeTable, whole: bool) -> GateResult:
    """`whole`: rows without strata are taken for the gate's own."""
    try:
        own = table if whole and table.answers is None else table.stratum(gate.answers)
    except OutcomeError as error:
        return unread(gate, Verdict.NOT_MEASURED, (str(error),))
    return _in_family(spec, gate, judge(spec, gate.name, own), own, None)


def _in_family(
    spec: Spec, gate: Gate, result: GateResult, table: OutcomeTable, k: int | None
) -> GateResult:
    """A gate of which any of several k suffices, from one of them; which one matters not."""
    if not gate.any_k or result.verdict in (Verdict.INVALID, Verdict.NOT_MEASURED):
        return result
    k = k if k in gate.family else gate.family[0]
    found = judge_family(gate, {k: table.head(spec.episodes(gate))}, spec.evaluation)
    reason = (
        f"one of {len(gate.family)} k, of which any suffices, is {found.verdicts[k]}: "
        f"p {found.pvalues[k]:.2g}, {found.adjusted[k]:.2g} after Holm over all of them"
    )
    return replace(result, verdict=found.verdict, reasons=(reason,))


def show(
    spec: Spec,
    gate: Gate,
    result: GateResult,
    table: OutcomeTable | None,
    verbose: bool,
    aside: str = "",
    so: str = "",
) -> None:
    """Print what a gate came to.

    Args:
        spec: that decides.
        gate: the gate.
        result: its result.
        table: the outcomes; None where there is none.
        verbose: whether with intervals, pairs and p-values.
        aside: stands behind the verdict.
        so: what follows; by default what a channel's verdict means.
    """
    verdict, width = result.verdict, _width()
    say(f"{gate.name}: {verdict}{aside}: {standing(verdict, result.criteria)}", 0, 2)
    if gate.title != gate.name:
        say(f"claim: {gate.title}")
    read = [criterion for criterion in result.criteria if criterion.n is not None]
    unread = {criterion.message for criterion in result.criteria if criterion.n is None}
    for reason in result.reasons:
        if not read or reason not in unread:
            say(reason)
    rates: dict[str, float] = {}
    if read and table is not None:
        n, declared = table.units, spec.episodes(gate)
        told = f"{n} episodes" + ("" if n == declared else f"; the spec declares {declared}")
        say(told if n <= declared else f"{told}, so that the first {declared} decide")
        table = table.head(declared)
        if shared := grouped(result.criteria):
            say(shared)
        rates = {name: table.rate(name) for name in gate.conditions if name in table.outcomes}
        print("\n".join(["", *_rates(table, rates, spec.evaluation), ""]))
        print("\n".join(criteria_lines(result.criteria, rates, width, verbose=verbose)))
    print()
    step = next_step(Found(verdict, result.deciding, rates))
    say(f"So: {so or closing(verdict, result.criteria, step)}")
    print()


def _rates(table: OutcomeTable, rates: Mapping[str, float], evaluation: Evaluation) -> list[str]:
    """Success by condition, or the mean of marks, with intervals over groups."""
    rows = []
    for name, rate in rates.items():
        clusters = clusters_of(table, [name], evaluation.cluster)
        held = table.packed[name]
        seen = rate_interval(name, held, evaluation.confidence, clusters)
        counted = f"{held.count(1)}/{table.n}" if isinstance(held, bytes) else "mean"
        interval = span(seen.low, seen.high, PERCENT, column=True)
        rows.append([name, counted, amount(rate, PERCENT, column=True), interval])
    return columns(success_heads(evaluation.confidence), rows, _width())


def _width() -> int:
    return fitting(shutil.get_terminal_size().columns)


def say(text: str, indent: int = 2, hang: int | None = None) -> None:
    """Print a text in lines that fit the terminal."""
    print("\n".join(wrapped(text, _width(), indent, hang)))


def _judge_counts(spec: Spec, gates: Sequence[Gate], counts: Marginals) -> ExitCode:
    for gate in gates:
        lead = f"{gate.name}: {Verdict.NOT_MEASURED}"
        say(f"{lead}: counts alone do not decide paired claims", 0, 2)
        say(f"{counts.n} episodes each; over all pairings:")
        ranges = [pairing_range(criterion, counts, spec.evaluation) for criterion in gate.criteria]
        for found in ranges:
            say(found.message, 2, 6)
        hopeless = [found.id for found in ranges if found.cannot_pass]
        if hopeless:
            say(f"the gate cannot PASS under any pairing: {', '.join(hopeless)} cannot", 2, 6)
        print()
    return ExitCode.NOT_MEASURED


def _judge_attempt(spec: Spec, gates: Sequence[Gate], attempt: Attempt) -> ExitCode:
    size = f"n {attempt.n}" if attempt.n is not None else "its n was not published"
    if not attempt.valid:
        say(f"{attempt.id} ({size}): INVALID: its results are not read", 0, 2)
        for fault in attempt.faults:
            say(fault, 2, 4)
        print()
        return ExitCode.INVALID
    say(f"{attempt.id} ({size}):", 0, 2)
    for k, counts in attempt.counts:
        print(f"k={k}")
        _judge_counts(spec, gates, counts)
    return ExitCode.NOT_MEASURED
