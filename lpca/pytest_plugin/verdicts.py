"""From test reports and evidence to the verdict and exit code of a pytest run."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from lpca.base.errors import ExitCode, RunError, worst
from lpca.base.files import write_file
from lpca.base.supervise import Link
from lpca.evidence.model import Evidence, exit_code
from lpca.gate.plan import GateKey, evidence_path, label_of, shown_with
from lpca.gate.recipe import RecipeVerdict, recipe_verdict
from lpca.gatespec.model import Gate, Spec
from lpca.judge.decide import judge_family
from lpca.judge.outcomes import OutcomeTable
from lpca.judge.reader import table_of_evidence
from lpca.judge.stored import read_stored
from lpca.pytest_plugin.cases import PROPERTY, key_of
from lpca.report.layout import WIDTH, fitting, wrapped
from lpca.report.terminal import coloured, gate_lines
from lpca.stats.verdicts import AnyOf, Verdict

Properties = list[tuple[str, str]]
NUMBERS = ("confidence", "method", "n", "successes", "p_pass", "p_fail", "needed_n")
"""Fields of a criterion's result that stand in JUnit XML under their own names."""


def criterion_properties(evidence: Evidence, name: str) -> Properties:
    """What a criterion came to: verdict, estimate, interval, bounds, counts and p-values.

    Rates, differences and bounds are proportions; `margins` holds one bound, or both ends of a
    band or an equivalence. What was not read is left out.
    """
    (result,) = (criterion for criterion in evidence.criteria if criterion.id == name)
    numbers: dict[str, object] = {"estimate": result.estimate}
    if result.interval is not None:
        numbers |= {f"interval_{end}": at for end, at in asdict(result.interval).items()}
    numbers |= {name: getattr(result, name) for name in NUMBERS}
    if result.table is not None:
        numbers |= asdict(result.table)
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
    passed = {"passed": "true", "FAILED": "false"}.get(check.result, check.result)
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


USAGE_PROPERTY = "lpca-usage-error"
"""Marks a report that failed because of what the user asked for."""
CAUSE_PROPERTY = "not measured"
"""Marks a report of a test whose gate could not be measured, with the reason."""
UNREAD = (Verdict.NOT_MEASURED, Verdict.INVALID)
PYTESTS_OWN = (ExitCode.INTERRUPTED, ExitCode.INTERNAL_ERROR, ExitCode.USAGE_ERROR)

INTERRUPTED = (
    "Kept are the evidence of gates that were done ({evidence}), every whole block of outcomes and "
    "a training's last snapshot (the cache; lpca doctor says where). The same command goes on from "
    "there and looks at nothing twice."
)
SHOWN_WITH, ONE_K = " (beside; sets no exit code)", " (this k alone)"
ONE_SEED = " (this seed alone)"


@dataclass(frozen=True)
class GateVerdict:
    """One gate at one k and training seed as the run leaves it.

    `aside` says where its verdict is not the run's.
    """

    key: GateKey
    verdict: Verdict
    note: str
    evidence: Evidence | None
    aside: str = ""


@dataclass(frozen=True)
class FamilyVerdict:
    """A gate of which any k suffices; `found` is None where some k could not be read.

    `seed` is that of its codecs' training, where those of several are judged.
    """

    gate: Gate
    verdict: Verdict
    found: AnyOf | None
    seed: int | None = None

    @property
    def aside(self) -> str:
        """Says where its verdict is not the run's."""
        return "" if self.seed is None else ONE_SEED

    def lines(self, width: int = WIDTH) -> list[str]:
        """For the terminal: the family's verdict, each k's p-value, and how many were not run."""
        names = ", ".join(map(str, self.gate.family))
        if len(names) > width // 2:
            names = f"{names[: width // 4].rpartition(',')[0]}, ... ({len(self.gate.family)} k)"
        label = label_of(f"{self.gate.name} any k of {names}", None, self.seed)
        told = wrapped(f"{label}: {self.verdict}{self.aside}", width, 0, 2)
        if self.found is None:
            return told + wrapped("a k that was run could not be read", width)
        missing = [k for k, v in self.found.verdicts.items() if v is Verdict.NOT_MEASURED]
        rest = f"k={missing[0]}" if len(missing) == 1 else f"{len(missing)} other k"
        lines = [
            f"k={k}: {self.found.verdicts[k]}, p {self.found.pvalues[k]:.2g}, "
            f"{self.found.adjusted[k]:.2g} after Holm over {len(self.gate.family)} k"
            for k in self.gate.family
            if k not in missing
        ]
        lines += [f"{rest}: not run, counts as p 1"] if missing else []
        return told + [line for text in lines for line in wrapped(text, width, 2, 4)]


class VerdictReporter:
    """Registered in the process that reports to the user: alone, or xdist's controller."""

    def __init__(
        self,
        spec: Spec,
        evidence: Path,
        run: str,
        verbose: bool = False,
        seeds: Sequence[int] = (),
        kept: Path | None = None,
        supervisor: Link | None = None,
    ) -> None:
        """`kept` is a folder with what this run alone has measured; else all is in `evidence`."""
        self.supervisor = supervisor
        self.spec, self.evidence, self.run, self.verbose = spec, evidence, run, verbose
        self.seeds, self.kept = seeds, kept or evidence
        self._tests: Mapping[str, GateKey] | None = None
        self._reported: dict[GateKey, str] = {}
        self._read: set[str] = set()
        self._died: dict[str, str] = {}
        self._usage_error = self._other_failed = False
        self._enough_failed = self._interrupted = False

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Refuse a wrong `-m` or `-k` here: with xdist it would crash each worker instead."""
        if session.config.getoption("dist", "no") != "no":
            session.config.hook.pytest_collection_modifyitems(
                session=session, config=session.config, items=[]
            )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which gates were asked for, and where a fixture broke."""
        properties = dict(report.user_properties)
        self._usage_error |= USAGE_PROPERTY in properties
        if PROPERTY not in properties:
            # of a gate's test that its worker died in, xdist reports no more than its name: it
            # may have been read before, and is counted as failed all the same
            self._read.discard(report.nodeid)
            self._other_failed |= report.failed and report.nodeid not in (self._tests or ())
            return
        key = key_of(str(properties[PROPERTY]))
        broken = self._reported.setdefault(key, "")
        if report.when == "call" or not report.passed:
            self._read.add(report.nodeid)
        if broken:
            return
        if cause := properties.get(CAUSE_PROPERTY):
            self._reported[key] = str(cause).splitlines()[-1]
        elif report.failed and report.when != "call":
            self._reported[key] = str(report.longreprtext).strip().splitlines()[-1]

    def declare(self, tests: Mapping[str, GateKey]) -> None:
        """Note which gate each test of the run is about, and tell the supervisor, once.

        It is called before any test runs, and so before any code of a codec does.
        """
        if self._tests is not None:
            return
        self._tests = dict(tests)
        if self.supervisor is not None:
            self.supervisor.say(asked=[list(key) for key in dict.fromkeys(tests.values())])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Note that a worker died, and in which test."""
        if error:
            self._died[node.gateway.id] = str(error)

    @property
    def asked(self) -> list[GateKey]:
        """The gates that had a test in this run, and all of them where a worker has died."""
        declared = (self._tests or {}).values() if self._died else ()
        return list(dict.fromkeys([*self._reported, *declared]))

    def _lost(self, key: GateKey) -> str:
        """Which tests of a gate nobody has read, because their worker died; else nothing."""
        tests = [test for test, of in (self._tests or {}).items() if of == key]
        unread = [test for test in tests if test not in self._read]
        if not self._died or not unread:
            return ""
        names = " and ".join(self._died)
        return (
            f"worker {names} died, and {len(unread)} of {len(tests)} tests came to no end, first "
            f"{unread[0]}"
        )

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note that `-x` ended the run: xdist makes of it an interruption."""
        self._enough_failed = str(excinfo.value).startswith("stopping after")
        self._interrupted = not self._enough_failed

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Turn pytest's exit status into that of the verdicts."""
        status = ExitCode.FAIL if self._enough_failed else int(exitstatus)
        session.exitstatus = self.exit_code(status)
        self._write_properties(session.config)

    def _write_properties(self, config: pytest.Config) -> None:
        """Add the gates' verdicts to the suite in JUnit XML."""
        file = getattr(config.option, "xmlpath", None)
        if not file or not self.asked:
            return
        path = config.invocation_params.dir / os.path.expandvars(Path(file).expanduser())
        if path.is_file():
            told = [(label_of(*gate.key), gate.verdict) for gate in self.verdicts()]
            told += [
                (label_of(f"{family.gate.name} any k", None, family.seed), family.verdict)
                for family in self.families()
            ]
            told += [(recipe.label, recipe.verdict) for recipe in self.recipes()]
            add_suite_properties(path, told)

    def exit_code(self, status: int) -> int:
        """Return the run's exit code, given pytest's own."""
        if status in PYTESTS_OWN or not self.asked:
            return status
        if self._usage_error:
            return ExitCode.USAGE_ERROR
        codes = self.deciding_codes()
        unexplained = status == ExitCode.FAIL and set(codes) == {ExitCode.PASS}
        if self._other_failed or unexplained:
            codes.append(ExitCode.FAIL)
        return worst(codes)

    def verdicts(self) -> list[GateVerdict]:
        """Return the verdict of each gate that had a test in this run, and of each k it lacks."""
        unrun = "declared with the others, not run"
        return [self._verdict(key) for key in self.asked] + [
            GateVerdict(GateKey(name, k), Verdict.NOT_MEASURED, unrun, None)
            for name, ks in self._asked_ks().items()
            for k in self.spec.gates[name].family
            if k not in ks and not self.spec.gates[name].any_k
        ]

    def families(self) -> list[FamilyVerdict]:
        """Return the verdict of each gate of which any k suffices, over its whole family."""
        found = []
        for name, seed in dict.fromkeys((key.gate, key.seed) for key in self.asked):
            gate = self.spec.gates[name]
            asked = [key for key in self.asked if (key.gate, key.seed) == (name, seed)]
            runs = {key.k: self._verdict(key) for key in asked if key.k is not None}
            if gate.any_k and runs:
                found.append(replace(family_verdict(self.spec, gate, runs), seed=seed))
        return found

    def recipes(self) -> list[RecipeVerdict]:
        """Return the verdict on each gate's recipe, where codecs of several seeds are judged."""
        if not self.seeds:
            return []
        found = []
        for name, ks in self._asked_ks().items():
            gate = self.spec.gates[name]
            together = [ks] if gate.any_k else [[k] for k in ks]
            found += [self._recipe(gate, own) for own in together]
        return found

    def _recipe(self, gate: Gate, ks: Sequence[int]) -> RecipeVerdict:
        """What all seeds come to at one k, or at several of which any suffices."""
        verdicts: dict[int, Verdict] = {}
        tables: dict[int, dict[int, OutcomeTable]] = {}
        for seed in self.seeds:
            runs = {k: self._verdict(GateKey(gate.name, k, seed)) for k in ks}
            family = family_verdict(self.spec, gate, runs) if gate.any_k else None
            verdicts[seed] = family.verdict if family else runs[ks[0]].verdict
            if verdicts[seed] is Verdict.FAIL:
                tables[seed] = tables_of(runs)
        return recipe_verdict(self.spec, gate, None if gate.any_k else ks[0], verdicts, tables)

    def _asked_ks(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for name, k, _ in self.asked:
            if k is not None and k not in found.setdefault(name, []):
                found[name].append(k)
        return found

    def deciding_codes(self) -> list[int]:
        """The codes of verdicts that set the run's: those on the whole in place of its parts'."""
        parts = [*self.verdicts(), *self.wholes()]
        return [exit_code(part.verdict) for part in parts if not part.aside]

    def wholes(self) -> list[FamilyVerdict | RecipeVerdict]:
        """Return the verdicts over several k or training seeds."""
        return [*self.families(), *self.recipes()]

    def shown_with(self) -> list[GateVerdict]:
        """Return the verdicts of gates shown beside the others, which set no exit code."""
        gates = self.spec.gates
        others = dict.fromkeys(
            other
            for name, k, seed in self.asked
            for other in shown_with(self.spec, gates[name], k, seed)
        )
        return [self._verdict(key) for key in others if key not in self.asked]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show every gate that was asked for and those beside them."""
        if self._interrupted:
            terminalreporter.section("interrupted")
            for line in wrapped(INTERRUPTED.format(evidence=self.evidence), WIDTH, 0):
                terminalreporter.write_line(line)
        if not self.asked:
            return
        terminalreporter.section("gates")
        width = fitting(terminalreporter.config.get_terminal_writer().fullwidth)
        blocks = [self._lines(gate, width) for gate in (*self.shown_with(), *self.verdicts())]
        blocks += [whole.lines(width) for whole in self.wholes()]
        for line in chain.from_iterable([*block, ""] for block in blocks):
            for text, markup in coloured(line):
                terminalreporter.write(text, **markup)
            terminalreporter.line("")

    def _lines(self, gate: GateVerdict, width: int) -> list[str]:
        found, aside = gate.evidence, gate.aside
        if found is None:
            head = wrapped(f"{label_of(*gate.key)}: {gate.verdict}{aside}", width, 0, 2)
            return head + wrapped(gate.note, width)
        how: Any = {"aside": aside, "width": width, "verbose": self.verbose}
        lines = gate_lines(found, gate.verdict, gate.note, **how)
        if self.verbose:
            lines += wrapped(f"evidence {evidence_path(self.evidence, *gate.key)}", width, 2, 4)
        return lines

    def _verdict(self, key: GateKey) -> GateVerdict:
        data = self.evidence_of(key)
        broken = self._reported.get(key, "") or self._lost(key)
        of_several = self.spec.gates[key.gate].any_k and key.k is not None
        alone = ONE_K if of_several else "" if key.seed is None else ONE_SEED
        aside = alone if key in self.asked else SHOWN_WITH
        if data is None:
            reason = broken or "its evidence was not measured in this run"
            return GateVerdict(key, Verdict.NOT_MEASURED, reason, None, aside)
        if broken and not data.is_invalid:
            reason = f"a test could not run: {broken}"
            return GateVerdict(key, Verdict.NOT_MEASURED, reason, data, aside)
        return GateVerdict(key, data.verdict, "", data, aside)

    def evidence_of(self, key: GateKey) -> Evidence | None:
        """A gate's evidence, if it was measured in the run."""
        return evidence_of(self.kept, key, self.run)


def evidence_of(folder: Path, key: GateKey, run: str) -> Evidence | None:
    """Return a gate's evidence, if it was measured in the run."""
    path = evidence_path(folder, *key)
    found = _read(path, path.stat().st_mtime_ns) if path.is_file() else None
    return found if found is not None and found.run == run else None


@lru_cache(maxsize=16)
def _read(path: Path, written: int) -> Evidence | None:
    """What stands in a file as it was `written` at that time; None where that is no evidence."""
    try:
        return read_stored(path)
    except RunError:
        return None


def family_verdict(spec: Spec, gate: Gate, by_k: Mapping[int, GateVerdict]) -> FamilyVerdict:
    """Judge a gate with `k: {any: ...}` from every k that was run.

    One k that is INVALID or NOT MEASURED makes the family so: what broke there may be anywhere.
    """
    unread = [run.verdict for run in by_k.values() if run.verdict in UNREAD]
    if unread:
        code = worst(map(exit_code, unread))
        worst_of = next(verdict for verdict in unread if exit_code(verdict) == code)
        return FamilyVerdict(gate, worst_of, None)
    found = judge_family(gate, tables_of(by_k), spec.evaluation)
    explored = any(run.evidence and run.evidence.split for run in by_k.values())
    return FamilyVerdict(gate, Verdict.EXPLORED if explored else found.verdict, found)


def tables_of(by_k: Mapping[int, GateVerdict]) -> dict[int, OutcomeTable]:
    """The outcomes of each k that was measured."""
    return {k: table_of_evidence(run.evidence) for k, run in by_k.items() if run.evidence}
