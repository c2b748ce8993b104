"""Hooks into allure-pytest: what it writes of a gate's tests is filled in from the evidence."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import allure_commons
import pytest
from allure_commons.model2 import Attachment, Status, TestResult, TestResultContainer

from lpca.base import __version__
from lpca.base.files import write_json, write_text
from lpca.evidence.model import Evidence
from lpca.gate.plan import GateKey, evidence_path, label_of
from lpca.gatespec.model import Spec
from lpca.pytest_plugin import allure_results
from lpca.pytest_plugin.allure_results import Attached, Subject
from lpca.pytest_plugin.cases import Case, case_of
from lpca.pytest_plugin.verdicts import GateVerdict, VerdictReporter, evidence_of
from lpca.stats.verdicts import Verdict

OWN_FIXTURES = ("lpca_runner", "gate_evidence", "criterion_result", "leak_result")
"""They are shown as steps with their true times, not as fixtures of whichever test came first."""


MILLISECONDS = 1000


def register(
    config: pytest.Config, spec: Spec, evidence: Path, run: str, verdicts: VerdictReporter | None
) -> None:
    """Have Allure's results filled in; the process with `verdicts` also describes the run."""
    subject = Subject(
        config.option.receiver, spec.task.name, spec.task.seed, config.option.codec or ""
    )
    tests = CaseResults(spec, subject, evidence, run)
    config.pluginmanager.register(tests, "lpca-allure")
    allure_commons.plugin_manager.register(tests)
    config.add_cleanup(lambda: allure_commons.plugin_manager.unregister(tests))
    if verdicts is not None:
        folder = config.invocation_params.dir / config.option.allure_report_dir
        whole = RunResults(spec, subject, folder, verdicts)
        config.pluginmanager.register(whole, "lpca-allure-run")


class CaseResults:
    """Fills in the results of the tests that this process runs."""

    def __init__(self, spec: Spec, subject: Subject, evidence: Path, run: str) -> None:
        self.spec, self.subject, self.evidence, self.run = spec, subject, evidence, run
        self._case: Case | None = None
        self._pictures: dict[GateKey, Sequence[Attached]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Keep which case is running: Allure's result of it is handed over before it ends."""
        self._case = case_of(item)
        result = yield
        self._case = None
        return result

    @allure_commons.hookimpl(tryfirst=True)
    def report_result(self, result: TestResult) -> None:
        """Fill in the result of a case before it is written; leave any other as it is."""
        case = self._case
        if case is None:
            return
        evidence = evidence_of(self.evidence, case.key, self.run)
        allure_results.fill(result, case, self.spec.gates[case.gate], self.subject, evidence)
        if evidence is not None and case.kind == "criterion" and result.status != Status.PASSED:
            attach(result, self._glance(case, evidence))

    @allure_commons.hookimpl(tryfirst=True)
    def report_container(self, container: TestResultContainer) -> None:
        """Leave lpca's own fixtures out of what is shown as set up and torn down."""
        for shown in (container.befores, container.afters):
            shown[:] = [one for one in shown if one.name.split("::")[0] not in OWN_FIXTURES]

    def _glance(self, case: Case, evidence: Evidence) -> Sequence[Attached]:
        if case.key not in self._pictures:
            self._pictures[case.key] = list(allure_results.glance(evidence))
        return self._pictures[case.key]


class RunResults:
    """Writes, once per run, a result per gate and the files that describe the run."""

    def __init__(
        self, spec: Spec, subject: Subject, folder: Path, verdicts: VerdictReporter
    ) -> None:
        self.spec, self.subject, self.folder, self.verdicts = spec, subject, folder, verdicts

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write what only the whole run knows; nothing where no gate was asked for."""
        families = {(one.gate.name, one.seed): one for one in self.verdicts.families()}
        asked, others = self.verdicts.verdicts(), self.verdicts.shown_with()
        if not asked:
            return
        now = round(time.time() * MILLISECONDS)
        for gate in asked:
            family = families.get((gate.key.gate, gate.key.seed))
            carried = family is not None and family.verdict is Verdict.PASS
            self._report(gate, now, carried=carried)
        for gate in others:
            self._report(gate, now, note="shown beside the others; sets no exit code")
        for family in families.values():
            told = "\n".join(family.lines())
            outcome = allure_results.verdict_outcome(family.verdict, told)
            whole = (family.gate, None, outcome, self.subject, None, now)
            _write(allure_results.verdict_result(*whole, seed=family.seed))
        for recipe in self.verdicts.recipes():
            outcome = allure_results.verdict_outcome(recipe.verdict, "\n".join(recipe.lines()))
            of_all = (recipe.gate, recipe.k, outcome, self.subject, None, now)
            _write(allure_results.verdict_result(*of_all))
        self._describe([*asked, *others], now // MILLISECONDS)

    def _report(
        self, gate: GateVerdict, now: int, *, carried: bool = False, note: str = ""
    ) -> None:
        evidence = gate.evidence
        outcome = allure_results.gate_outcome(gate.verdict, evidence, gate.note, carried=carried)
        name, k, seed = gate.key
        whole = (self.spec.gates[name], k, outcome, self.subject, evidence, now, note)
        result = allure_results.verdict_result(*whole, seed=seed)
        if evidence is not None:
            written = evidence_path(self.verdicts.kept, *gate.key).read_bytes()
            attach(result, allure_results.attachments_of(evidence, written))
        _write(result)

    def _describe(self, gates: Sequence[GateVerdict], now: int) -> None:
        verdicts = {label_of(*gate.key): str(gate.verdict) for gate in gates}
        evidence = [gate.evidence for gate in gates if gate.evidence is not None]
        write_text(self.folder / "environment.properties", environment(evidence, verdicts))
        write_json(self.folder / "categories.json", CATEGORIES)
        write_json(self.folder / "executor.json", executor(self.verdicts.run, now, verdicts))


def attach(result: TestResult, found: Iterable[Attached]) -> None:
    """Write attachments beside the results and name them in one of them.

    Allure 3 takes a file into its report once, so each has a file of its own.
    """
    for file in found:
        source = f"{uuid4()}-attachment.{file.kind.extension}"
        allure_commons.plugin_manager.hook.report_attached_data(body=file.body, file_name=source)
        result.attachments.append(Attachment(file.name, source, file.kind.mime_type))


def _write(result: TestResult) -> None:
    allure_commons.plugin_manager.hook.report_result(result=result)


CATEGORIES = tuple(
    {"name": name, "matchedStatuses": [status], "messageRegex": rf"^{lead}: [\s\S]*$"}
    for lead, status, name in (
        (
            "INVALID",
            Status.BROKEN,
            "Invalid: a validity check or a required gate failed, nothing may be read",
        ),
        ("FAIL", Status.FAILED, "Fail: the data contradict the claim"),
        ("INCONCLUSIVE", Status.UNKNOWN, "Inconclusive: the data do not decide the claim"),
        ("NOT MEASURED", Status.UNKNOWN, "Not measured: the data are not there"),
        ("BROKEN", Status.BROKEN, "Broken: a test could not run"),
    )
)
"""As in Allure's `categories.json`; a message is in one of them at most."""


def environment(evidence: Sequence[Evidence], verdicts: Mapping[str, str]) -> str:
    """Return `environment.properties`: what ran where, and the verdicts by gate."""
    found: dict[str, str] = {f"verdict {name}": verdict for name, verdict in verdicts.items()}
    found["lpca"] = __version__
    for measured in evidence:
        receiver = measured.receiver
        found["receiver"] = f"{receiver.name} ({receiver.dtype}, {receiver.device})"
        found["task"] = ", ".join(f"{key} {value}" for key, value in measured.task.items())
        found["machine"] = ", ".join(measured.machine.values())
        found |= {name: version for name, version in measured.versions.items() if name != "lpca"}
        found["command"] = " ".join(measured.command)
        found["spec sha256"] = measured.hashes.spec
    return "".join(f"{_key(key)}={_value(value)}\n" for key, value in found.items())


def executor(run: str, now: int, verdicts: Mapping[str, str]) -> dict[str, Any]:
    """Return `executor.json`: which run of lpca this was, and when, in seconds since 1970."""
    return {
        "name": f"lpca {__version__}",
        "type": "lpca",
        "buildName": f"run {run[:8]}",
        "buildOrder": now,
        "reportName": ", ".join(f"{name}: {verdict}" for name, verdict in verdicts.items()),
    }


def _key(text: str) -> str:
    return "".join("\\" + letter if letter in " :=\\#!" else letter for letter in _value(text))


def _value(text: str) -> str:
    return " ".join(text.replace("\\", "/").split())
