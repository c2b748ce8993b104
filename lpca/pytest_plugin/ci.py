"""What continuous integration reads of a run: JUnit's properties, GitHub's page and annotations."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pytest

from lpca.base.files import write_file
from lpca.evidence import Evidence, GateResult
from lpca.gate.plan import label_of
from lpca.gatespec.model import Position
from lpca.pytest_plugin.verdicts import GateVerdict, VerdictReporter
from lpca.report.annotations import Level, annotation
from lpca.report.markdown import conditions_table, criteria_table, plain, validity_line
from lpca.stats import Verdict

Properties = list[tuple[str, str]]


def criterion_properties(evidence: Evidence, name: str) -> Properties:
    """What a criterion came to: verdict, estimate, interval, bounds, counts and p-values.

    Rates, differences and bounds are proportions; `margins` holds one bound, or both ends of a
    band or an equivalence. What was not read is left out.
    """
    (result,) = (one for one in evidence.criteria if one.id == name)
    numbers: dict[str, object] = {
        "estimate": result.estimate,
        "interval_low": result.interval.low if result.interval else None,
        "interval_high": result.interval.high if result.interval else None,
        "confidence": result.confidence,
        "method": result.method,
        "n": result.n,
        "successes": result.successes,
        "p_pass": result.p_pass,
        "p_fail": result.p_fail,
        "needed_n": result.needed_n,
    }
    if result.table is not None:
        table = result.table
        numbers |= {"a": table.a, "b": table.b, "c": table.c, "d": table.d}
    return [
        ("verdict", result.verdict.value),
        ("claim", result.text),
        ("spec", f"{result.position.file}:{result.position.line}"),
        ("margins", " ".join(f"{margin:g}" for margin in result.margins)),
        *((key, str(value)) for key, value in numbers.items() if value is not None),
        ("receiver", evidence.receiver.name),
    ]


def check_properties(evidence: Evidence, name: str) -> Properties:
    """What a validity check found."""
    (check,) = (one for one in evidence.checks if one.id == name)
    passed = {True: "true", False: "false", None: "does not apply"}[check.passed]
    told = {"title": check.title, "passed": passed, "detail": check.detail}
    return [*told.items(), ("receiver", evidence.receiver.name)]


def add_suite_properties(path: Path, properties: Iterable[tuple[str, str]]) -> None:
    """Add properties to the suite of a JUnit XML file, which pytest offers only to fixtures."""
    tree = ET.parse(path)
    for suite in tree.getroot().iter("testsuite"):
        held = suite.find("properties")
        if held is None:
            held = ET.Element("properties")
            suite.insert(0, held)
        for name, value in properties:
            ET.SubElement(held, "property", name=name, value=value)
    write_file(path, lambda part: tree.write(part, encoding="utf-8", xml_declaration=True))


LEVELS: Mapping[Verdict, Level] = {
    Verdict.FAIL: "error",
    Verdict.INVALID: "error",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.NOT_MEASURED: "warning",
}
"""How loudly each verdict is annotated; PASS is not."""
UNBROKEN = 10_000
"""A width at which no line is broken: GitHub breaks them itself."""
BESIDE = " (beside; sets no exit code)"


class GitHubReporter:
    """Registered in the process that reports to the user, where GitHub's variables are set.

    `places` is None where no annotations are asked for, `summary` where no summary is.
    """

    def __init__(
        self, verdicts: VerdictReporter, places: Places | None, summary: Path | None
    ) -> None:
        self.verdicts, self.places, self.summary = verdicts, places, summary

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the annotations, and add the summary to the job's."""
        if self.places is not None:
            for line in dict.fromkeys(annotation_lines(self.verdicts, self.places)):
                terminalreporter.write_line(line)
        if self.summary is not None:
            try:
                with self.summary.open("a", encoding="utf-8") as stream:
                    stream.write("\n".join(summary_lines(self.verdicts)))
            except OSError as error:
                terminalreporter.write_line(f"{self.summary}: no summary written: {error}")


@dataclass(frozen=True)
class Places:
    """Where files lie: the spec's is named from `root`, annotations' from `workspace`."""

    root: Path
    workspace: Path

    def of(self, position: Position) -> Position:
        """The same place, its file named from the workspace where it lies within."""
        file, workspace = (self.root / position.file).resolve(), self.workspace.resolve()
        if not file.is_relative_to(workspace):
            return position
        return replace(position, file=file.relative_to(workspace).as_posix())


def github_reporter(
    verdicts: VerdictReporter, root: Path, environment: Mapping[str, str]
) -> GitHubReporter | None:
    """Return the reporter that the environment asks for; None outside GitHub Actions."""
    actions = environment.get("GITHUB_ACTIONS") == "true"
    summary = environment.get("GITHUB_STEP_SUMMARY")
    if not actions and not summary:
        return None
    places = Places(root, Path(environment.get("GITHUB_WORKSPACE") or root))
    return GitHubReporter(verdicts, places if actions else None, Path(summary) if summary else None)


def annotation_lines(verdicts: VerdictReporter, places: Places) -> Iterator[str]:
    """One line per criterion that does not pass, and per gate or family that was not read.

    What sets no exit code (a gate beside another, one k of which any suffices) is a notice.
    """
    gates = verdicts.spec.gates
    families = verdicts.families()
    for family in families:
        if family.verdict is not Verdict.PASS:
            place, text = places.of(family.gate.position), "\n".join(family.lines(UNBROKEN))
            title = f"{family.gate.name}: {family.verdict}"
            yield annotation(LEVELS[family.verdict], place, title, text)
    carried = {family.gate.name for family in families}
    for gate in verdicts.verdicts():
        quiet = gate.key[0] in carried
        yield from _gate_annotations(gate, gates[gate.key[0]].position, places, quiet)
    for gate in verdicts.beside():
        yield from _gate_annotations(gate, gates[gate.key[0]].position, places, quiet=True)


def _gate_annotations(
    gate: GateVerdict, position: Position, places: Places, quiet: bool
) -> Iterator[str]:
    evidence, (_, k) = gate.evidence, gate.key
    at = "" if k is None else f" k={k}"
    invalid = gate.verdict is Verdict.INVALID
    if gate.note or evidence is None or invalid:
        reasons = [gate.note] if evidence is None or not invalid else evidence.reasons
        level: Level = "notice" if quiet else LEVELS[gate.verdict]
        title = f"{label_of(*gate.key)}: {gate.verdict}"
        yield annotation(level, places.of(position), title, "\n".join(reasons))
    results = [*_required(evidence), *([evidence.result] if evidence is not None else [])]
    for criterion in chain.from_iterable(result.criteria for result in results):
        if criterion.verdict not in (Verdict.PASS, Verdict.INVALID):
            level = "notice" if quiet else LEVELS[criterion.verdict]
            title = f"{criterion.id}{at}: {criterion.verdict}"
            yield annotation(level, places.of(criterion.position), title, criterion.message)


def summary_lines(verdicts: VerdictReporter) -> list[str]:
    """The job summary: every gate of the run, and those beside them."""
    lines = []
    for family in verdicts.families():
        head, *rest = family.lines(UNBROKEN)
        lines += [f"## {plain(head)}", "", *(f"- {plain(line)}" for line in rest), ""]
    carried = {family.gate.name for family in verdicts.families()}
    for gate in verdicts.verdicts():
        lines += _section(gate, " (this k alone)" if gate.key[0] in carried else "")
    for gate in verdicts.beside():
        lines += _section(gate, BESIDE)
    return lines


def _section(gate: GateVerdict, aside: str = "") -> list[str]:
    evidence = gate.evidence
    lines = [f"## {plain(label_of(*gate.key))}: {gate.verdict}{aside}", ""]
    lines += [plain(gate.note), ""] * bool(gate.note)
    if evidence is None:
        return lines
    lines += [
        f"{plain(evidence.title)}. Receiver {plain(evidence.receiver.name)}, answers "
        f"{plain(evidence.answers)}; {validity_line(evidence)}.",
        "",
        *(f"- {plain(reason)}" for reason in evidence.reasons),
        "",
        *conditions_table(evidence),
        "",
    ]
    for required in _required(evidence):
        lines += [f"Required {plain(required.name)}: {required.verdict}", ""]
        lines += [*criteria_table(required.criteria), ""]
    if gate.verdict is not Verdict.INVALID:
        lines += [*criteria_table(evidence.criteria), ""]
    return lines


def _required(evidence: Evidence | None) -> Sequence[GateResult]:
    return evidence.required if evidence is not None else ()
