"""Which test runs which line: a plugin of pytest that records it, and what is read from that.

For the tests of a line, what a subprocess runs counts for the test that started it, and what a
fixture runs for all tests that use it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from breaks_code import Candidate, Place, inside_functions

FAST = "not slow and not browser"
NOT_FORKED = ("tests/modal_app/",)
"""Tests that wait for a thread which a fork does not take along."""
COVERAGE = """[run]
source = {tree}/lpca
data_file = {folder}/.coverage
parallel = true
context = ${{BREAKS_TEST-}}
patch = _exit, fork
sigterm = true
disable_warnings = no-data-collected, module-not-measured, module-not-imported
"""
TREE = Path.cwd()

# The plugin of pytest: who runs now (to coverage), and what came of it (to the one who waits).

_running: list[str] = []


@contextlib.contextmanager
def _counted_for(name: str) -> Iterator[None]:
    """Lines that run inside count for a name, here and in the processes that are started."""
    from coverage import Coverage

    def switch() -> None:
        os.environ["BREAKS_TEST"] = name = _running[-1] if _running else ""
        if measured := Coverage.current():
            if sys.gettrace() is None:  # a test that traces lines itself took it away
                measured.stop()
                measured.start()
            measured.switch_context(name)

    _running.append(name)
    switch()
    try:
        yield
    finally:
        _running.pop()
        switch()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """A test begins and ends."""
    _said("start", item.nodeid)
    with _counted_for(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Iterator[None]:
    """What a shared fixture runs counts for the fixture, not for the first that uses it."""
    if fixturedef.scope == "function":
        return (yield)
    with _counted_for(f"fixture {fixturedef.baseid}::{fixturedef.argname}"):
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep which test uses which fixture."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    if (path := os.environ.get("BREAKS_FIXTURES")) and worker == "gw0":
        uses = {item.nodeid: list(getattr(item, "fixturenames", ())) for item in items}
        Path(path).write_text(json.dumps(uses))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Tell of a failure."""
    if report.failed:
        _said("failed", report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Tell of a file that cannot even be read."""
    if report.failed:
        _said("failed", f"{report.nodeid} (collection)")


def _said(what: str, test: str) -> None:
    if path := os.environ.get("BREAKS_PROGRESS"):
        with Path(path).open("a") as file:
            file.write(f"{what} {test}\n")


# What they found.


def cover(folder: Path) -> int:
    """Run the fast suite under coverage; return pytest's exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "coveragerc"
    settings.write_text(COVERAGE.format(tree=TREE, folder=folder))
    environment = {
        **environment_of(folder),
        "COVERAGE_PROCESS_START": str(settings),
        "BREAKS_FIXTURES": str(folder / "fixtures.json"),
    }
    arguments: list[str | Path] = [
        "-m",
        FAST,
        "-n",
        "2",
        "--dist",
        "worksteal",
        "--junitxml",
        folder / "junit.xml",
    ]
    command = [sys.executable, "-m", "pytest", "tests", "-q", "-p", "breaks_tests", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def environment_of(folder: Path) -> dict[str, str]:
    """This copy's lpca, its commands and an own cache, in which what is downloaded may stand."""
    tools = Path(__file__).parent
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{TREE}{os.pathsep}{tools}",
        "OMP_NUM_THREADS": "1",
        "XDG_CACHE_HOME": str(folder / "cache"),
    }


class Lines:
    """Which tests run a line, and how long each takes, from the folder that `cover` filled."""

    def __init__(self, folder: Path) -> None:
        self.uses: dict[str, list[str]] = json.loads((folder / "fixtures.json").read_text())
        self.seconds, self.left_out = _durations(folder / "junit.xml", self.uses)
        self.by_line = _coverage(folder)
        self.users: dict[str, list[str]] = {}

    @classmethod
    def of(cls, folder: Path) -> Lines:
        """Read the folder, quickly where this was done before."""
        kept = folder / "lines.pickle"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(cls(folder)))
        found: Lines = pickle.loads(kept.read_bytes())
        return found

    def stages(self, one: Candidate) -> list[list[str]]:
        """The tests of a break, likeliest first: those of its line, function and module."""
        file, place = one.place.file, one.place
        inside = inside_functions(TREE, file)
        near = self._of(file, inside.intersection(one.function_lines))
        if inside.isdisjoint(one.statement_lines):  # runs on import: whoever uses what it makes
            names = set(re.findall(r"^(\w+)(?:: .*)? =", place.statement))
            names |= {place.function.rpartition(".")[2]} - {""}
            direct = near | self._naming(names)
        else:
            direct = self._of(file, one.lines) or self._of(file, one.statement_lines)
        importing = self._importing(file)
        direct = direct | (importing - self.followed())
        stages = []
        done = set(self.left_out)
        for tests in (direct, near, importing):
            stages.append(sorted(tests - done, key=self._tier))
            done |= tests
        out = NOT_FORKED if "sabotage" in file else (*NOT_FORKED, "tests/sabotage/")
        return [[t for t in tests if not t.startswith(out)] for tests in stages]

    def followed(self) -> set[str]:
        """The tests that coverage knows: it loses those of a worker whose tracer a test took."""
        contexts = {c for lines in self.by_line.values() for held in lines.values() for c in held}
        return contexts & self.uses.keys()

    def called(self, test: str) -> list[str]:
        """The tests of the name of a test that may stand elsewhere now."""
        name = test.rpartition("::")[2]
        same = [one for one in self.uses if one.rpartition("::")[2] == name]
        function = name.partition("[")[0]
        return same or [t for t in self.uses if t.rpartition("::")[2].partition("[")[0] == function]

    def promise(self, tests: list[str], place: Place) -> Callable[[str], float]:
        """The order of test files: those first whose tests are many of these, near, and fast."""
        count = Counter(test.partition("::")[0] for test in tests)
        whole = Counter(test.partition("::")[0] for test in self.uses)
        seconds: defaultdict[str, float] = defaultdict(float)
        for test in tests:
            seconds[test.partition("::")[0]] += self.seconds.get(test, 1.0)
        room = Path(place.file).parts[1].removesuffix(".py")
        name = Path(place.file).stem
        room = {"commands": "/cli/", "leaks": "/evaluation/", "gatespec": "spec/"}.get(room, room)

        def order(file: str) -> float:
            nearer = (100.0 if room in file else 1.0) * (10.0 if name in file else 1.0)
            return -nearer * count[file] / whole[file] / (0.3 + seconds[file] / count[file])

        return order

    def _tier(self, test: str) -> tuple[int, str]:
        """Fast tests first; of equally fast ones those of a file together, they share fixtures."""
        seconds = self.seconds.get(test, 1.0)
        return sum(seconds >= limit for limit in (0.1, 0.5, 2.0, 8.0)), test

    def _of(self, file: str, lines: Iterable[int]) -> set[str]:
        contexts: set[str] = set()
        for line in lines:
            contexts |= self.by_line.get(file, {}).get(line, set())
        return {test for context in contexts for test in self._users_of(context)}

    def _users_of(self, context: str) -> list[str]:
        if not context.startswith("fixture "):
            return [context] if context in self.uses else []
        if context not in self.users:
            base, _, name = context.removeprefix("fixture ").rpartition("::")
            found = [t for t, names in self.uses.items() if name in names and t.startswith(base)]
            self.users[context] = found
        return self.users[context]

    def _naming(self, names: set[str]) -> set[str]:
        """The tests that run a line, in a function, on which one of the names stands."""
        if not names:
            return set()
        pattern = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\b")
        found: set[str] = set()
        for file in self.by_line:
            text = (TREE / file).read_text().splitlines()
            lines = {number for number, line in enumerate(text, 1) if pattern.search(line)}
            found |= self._of(file, lines & inside_functions(TREE, file))
        return found

    def _importing(self, file: str) -> set[str]:
        """The tests of the files that name a module."""
        module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        texts = {path: path.read_text() for path in (TREE / "tests").rglob("*.py")}
        files: set[str] = set()
        while not files and module.count("."):  # else of those that name its package
            package, _, name = module.rpartition(".")
            one, other = re.escape(module), rf"from {re.escape(package)} import .*\b{name}\b"
            pattern = re.compile(rf"\b{one}\b|{other}")
            found = [path for path, text in texts.items() if pattern.search(text)]
            files = {path.relative_to(TREE).as_posix() for path in found}
            module = package
        return {test for test in self.uses if test.partition("::")[0] in files}


def _durations(junit: Path, tests: Iterable[str]) -> tuple[dict[str, float], set[str]]:
    """The seconds of each test, and the tests that did not pass."""
    address = {}
    for test in tests:
        name, bracket, parameters = test.partition("[")
        path, *names = name.split("::")
        where = ".".join([path.removesuffix(".py").replace("/", "."), *names[:-1]])
        address[where, names[-1] + bracket + parameters] = test
    seconds: dict[str, float] = {}
    left_out: set[str] = set()
    for case in ElementTree.parse(junit).iter("testcase") if junit.exists() else ():
        test = address.get((case.get("classname", ""), case.get("name", "")), "")
        seconds[test] = float(case.get("time", 0))
        if {child.tag for child in case} & {"failure", "error", "skipped"}:
            left_out.add(test)
    return seconds, left_out


def _coverage(folder: Path) -> dict[str, dict[int, set[str]]]:
    """By file and line what ran it; a test that kills its process may leave a half-written file."""
    from coverage import CoverageData
    from coverage.exceptions import DataError

    found: dict[str, dict[int, set[str]]] = {}
    for path in folder.glob(".coverage.*"):
        data = CoverageData(str(path))
        with contextlib.suppress(DataError):
            data.read()
        for measured in data.measured_files():
            file = "lpca/" + measured.rpartition("/lpca/")[2]
            if (TREE / file).exists():
                for line, contexts in data.contexts_by_lineno(measured).items():
                    found.setdefault(file, {}).setdefault(line, set()).update(contexts)
    return found
