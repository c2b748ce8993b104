"""A run on GitHub Actions: annotations of the spec's lines, and a summary of the job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import pytest

from lpca.base.files import WriteError, write_text
from lpca.gate.plan import label_of
from lpca.gatespec.model import Position
from lpca.pytest_plugin.verdicts import GateVerdict, VerdictReporter
from lpca.report.layout import Level, annotation
from lpca.report.markdown import conditions_table, criteria_table, plain, validity_line
from lpca.report.next_steps import found_in, next_step
from lpca.report.sentences import above_luck, packets
from lpca.stats.verdicts import Verdict

LEVELS: Mapping[Verdict, Level] = {
    Verdict.FAIL: "error",
    Verdict.INVALID: "error",
    Verdict.INCONCLUSIVE: "warning",
    Verdict.NOT_MEASURED: "warning",
    Verdict.EXPLORED: "notice",
}
"""How loudly each verdict is annotated; PASS is not."""
KEPT_SUMMARY = "summary.md"
"""Where the job's summary stands too, beside the folder of evidence."""
UNBROKEN = 10_000
"""A width at which no line is broken: GitHub breaks them itself."""


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
                text = "\n".join(summary_lines(self.verdicts))
                with self.summary.open("a", encoding="utf-8") as stream:
                    stream.write(text)
                # a later step, which comments it, has a summary of its own
                write_text(self.verdicts.evidence.parent / KEPT_SUMMARY, text)
            except (OSError, WriteError) as error:
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
    for whole in verdicts.wholes():
        if whole.verdict is not Verdict.PASS:
            place, text = places.of(whole.gate.position), "\n".join(whole.lines(UNBROKEN))
            title = f"{whole.gate.name}: {whole.verdict}"
            level = "notice" if whole.aside else LEVELS[whole.verdict]
            yield annotation(level, place, title, text)
    for gate in (*verdicts.verdicts(), *verdicts.shown_with()):
        yield from _gate_annotations(gate, verdicts.spec.gates[gate.key.gate].position, places)


def _gate_annotations(gate: GateVerdict, position: Position, places: Places) -> Iterator[str]:
    evidence, invalid = gate.evidence, gate.verdict is Verdict.INVALID
    levels: Mapping[Verdict, Level] = dict.fromkeys(LEVELS, "notice") if gate.aside else LEVELS
    if gate.note or evidence is None or invalid:
        reasons = [gate.note] if evidence is None or not invalid else evidence.reasons
        title = f"{label_of(*gate.key)}: {gate.verdict}"
        yield annotation(levels[gate.verdict], places.of(position), title, "\n".join(reasons))
    results = [*evidence.required, evidence.result] if evidence is not None else []
    for criterion in chain.from_iterable(result.criteria for result in results):
        if criterion.verdict not in (Verdict.PASS, Verdict.INVALID):
            title = f"{label_of(criterion.id, *gate.key[1:])}: {criterion.standing}"
            place, level = places.of(criterion.position), levels[criterion.verdict]
            level = "warning" if level == "error" and not criterion.decides else level
            yield annotation(level, place, title, criterion.message)


def summary_lines(verdicts: VerdictReporter) -> list[str]:
    """The job summary: every gate of the run, and those beside them."""
    lines = []
    for whole in verdicts.wholes():
        head, *rest = whole.lines(UNBROKEN)
        lines += [f"## {plain(head)}", "", *(f"- {plain(line)}" for line in rest), ""]
    for gate in (*verdicts.verdicts(), *verdicts.shown_with()):
        lines += _section(gate)
    return lines


def _section(gate: GateVerdict) -> list[str]:
    evidence = gate.evidence
    lines = [f"## {plain(label_of(*gate.key))}: {gate.verdict}{gate.aside}", ""]
    lines += [plain(gate.note), ""] * bool(gate.note)
    if evidence is None:
        return lines
    setting = f"Receiver {plain(evidence.receiver.name)}, answers {plain(evidence.answers)}"
    lines += [f"{plain(evidence.title)}. {setting}; {validity_line(evidence)}.", ""]
    lines += [f"{plain(packets(evidence))}.", ""] if evidence.packets else []
    lines += [*(f"- {plain(reason)}" for reason in evidence.reasons), ""]
    if step := next_step(replace(found_in(evidence), verdict=gate.verdict)):
        lines += [f"**Next:** {plain(step)}.", ""]
    lines += [*conditions_table(evidence), ""]
    if told := above_luck(evidence):
        lines += [told, ""]
    if gate.verdict is not evidence.verdict:
        return lines
    for required in evidence.required:
        lines += [f"Required {plain(required.name)}: {required.verdict}", ""]
        lines += [*criteria_table(required.criteria), ""]
    if gate.verdict is not Verdict.INVALID:
        lines += [*criteria_table(evidence.criteria), ""]
    return lines
