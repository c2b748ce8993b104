"""From test reports and evidence to the verdict and exit code of a pytest run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lpca.errors import RunError
from lpca.exit_codes import ExitCode, worst
from lpca.files import read_json
from lpca.gate_plan import evidence_path, needs_codec
from lpca.judge.results import exit_code
from lpca.report.terminal import gate_lines
from lpca.spec.model import Spec
from lpca.stats import Verdict

PROPERTY = "lpca"
"""The user property of a report that carries its case."""
USAGE_PROPERTY = "lpca-usage-error"
"""Marks a report that failed because of what the user asked for."""
PYTESTS_OWN = (ExitCode.INTERRUPTED, ExitCode.INTERNAL_ERROR, ExitCode.USAGE_ERROR)

Key = tuple[str, int | None]


@dataclass(frozen=True)
class GateVerdict:
    """One gate at one k as the run leaves it."""

    key: Key
    verdict: Verdict
    note: str
    evidence: Mapping[str, Any] | None


class VerdictReporter:
    """Registered in the process that reports to the user: alone, or xdist's controller."""

    def __init__(self, spec: Spec, evidence: Path, run: str) -> None:
        self.spec, self.evidence, self.run = spec, evidence, run
        self._asked: dict[Key, str] = {}
        self._usage_error = self._other_failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which gates were asked for, and where a fixture broke."""
        properties = dict(report.user_properties)
        case = properties.get(PROPERTY)
        self._usage_error |= USAGE_PROPERTY in properties
        if not isinstance(case, Mapping):
            self._other_failed |= report.failed
            return
        key = (str(case["gate"]), case["k"])
        broken = self._asked.setdefault(key, "")
        if report.failed and report.when != "call" and not broken:
            self._asked[key] = str(report.longreprtext).strip().splitlines()[-1]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Turn pytest's exit status into that of the verdicts."""
        session.exitstatus = self.exit_code(int(exitstatus))

    def exit_code(self, status: int) -> int:
        """Return the run's exit code, given pytest's own."""
        if status in PYTESTS_OWN or not self._asked:
            return status
        if self._usage_error:
            return ExitCode.USAGE_ERROR
        codes = [exit_code(gate.verdict) for gate in self.verdicts()]
        unexplained = status == ExitCode.FAIL and set(codes) == {ExitCode.PASS}
        if self._other_failed or unexplained:
            codes.append(ExitCode.FAIL)
        return worst(codes)

    def verdicts(self) -> list[GateVerdict]:
        """Return the verdict of each gate that had a test in this run."""
        return [self._verdict(key) for key in self._asked]

    def beside(self) -> list[GateVerdict]:
        """Return the verdicts of gates shown beside the others, which set no exit code."""
        others = dict.fromkeys(
            (other, k if needs_codec(self.spec, other) else None)
            for gate, k in self._asked
            for other in self.spec.gates[gate].beside
        )
        return [self._verdict(key) for key in others if key not in self._asked]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show every gate that was asked for and those beside them."""
        if not self._asked:
            return
        terminalreporter.section("gates")
        for gate in [*self.beside(), *self.verdicts()]:
            aside = " (beside; sets no exit code)" if gate.key not in self._asked else ""
            for line in self._lines(gate, aside):
                terminalreporter.write_line(line)
            terminalreporter.write_line("")

    def _lines(self, gate: GateVerdict, aside: str) -> list[str]:
        if gate.evidence is not None:
            return gate_lines(gate.evidence, gate.verdict + aside, gate.note)
        name, k = gate.key
        label = name if k is None else f"{name} k={k}"
        return [f"{label}: {gate.verdict}{aside}", f"  {gate.note}"]

    def _verdict(self, key: Key) -> GateVerdict:
        data = self._evidence(key)
        broken = self._asked.get(key, "")
        if data is None:
            reason = broken or "its evidence was not measured in this run"
            return GateVerdict(key, Verdict.NOT_MEASURED, reason, None)
        verdict = Verdict(data["verdict"])
        if broken and verdict is not Verdict.INVALID:
            return GateVerdict(key, Verdict.NOT_MEASURED, f"a test could not run: {broken}", data)
        return GateVerdict(key, verdict, "", data)

    def _evidence(self, key: Key) -> Mapping[str, Any] | None:
        try:
            data = read_json(evidence_path(self.evidence, *key))
        except RunError:
            return None
        return data if isinstance(data, Mapping) and data.get("run") == self.run else None
