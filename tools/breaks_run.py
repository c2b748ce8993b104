"""Plant the breaks of `tools/breaks.py` one at a time and see which test notices.

    python tools/breaks_run.py cover FOLDER          run the fast suite, record who runs which line
    python tools/breaks_run.py run FOLDER RESULTS    plant each break, run the tests of its line
    python tools/breaks_run.py sound FOLDER RESULTS  do the tests that noticed pass without a break?

To be started in a private copy of the repository, by a Python whose lpca is that copy: `run`
changes the copy, restores it, and goes on from RESULTS when it was stopped. A test that a break
makes wait is stopped and counts as one that noticed. For the tests of a line, what a subprocess
runs counts for the test that started it, and what a fixture runs for all tests that use it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from breaks import Candidate, Place, find, inside_functions, read_breaks, source_of

FAST = "not slow and not browser"
ROOMS = ("diagnose", "docs", "examples", "lab", "plugin", "sabotage", "untrusted")
WHOLE_RUNS = tuple(f"tests/{room}/" for room in ROOMS)
"""Tests that make whole runs: only for what nothing smaller runs."""
NOT_FORKED = ("tests/modal_app/",)
"""Tests that wait for a thread which a fork does not take along."""
BUDGET = float(os.environ.get("BREAKS_BUDGET", "60"))
"""How long the tests of a break may take together on sound code, in seconds, each a quarter."""
PATIENCE, TIMES = 200.0, 5.0
"""Seconds of computing that a test may take, beside so many times what it takes on sound code."""
IDLE = 1800.0
"""Seconds after which a test that does not even compute is taken to wait for ever."""
OTHERS = """
import contextlib, importlib, pkgutil, sys, lpca
for one in pkgutil.walk_packages(lpca.__path__, "lpca."):
    with contextlib.suppress(Exception):
        if not one.name.endswith("__main__"):
            importlib.import_module(one.name)
import transformers.models.llama.modeling_llama, hypothesis, _hypothesis_pytestplugin, xdist.plugin
import allure_pytest.plugin
print(*(name for name in sys.modules if name.partition(".")[0] not in ("lpca", "__main__")))
"""
"""Names what lpca and its tests import from elsewhere: imported once, before the forks."""
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


# Which test runs which line.


def cover(folder: Path) -> int:
    """Run the fast suite under coverage; return pytest's exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "coveragerc"
    settings.write_text(COVERAGE.format(tree=TREE, folder=folder))
    environment = {
        **_environment(folder),
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
    command = [sys.executable, "-m", "pytest", "tests", "-q", "-p", "breaks_run", *arguments]
    return subprocess.run(command, env=environment, check=False).returncode


def _environment(folder: Path) -> dict[str, str]:
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


# One break after another.


def run(folder: Path, results: Path, only: list[int], first: bool, known: Path | None) -> None:
    """Plant each break that has no result yet, and write what came of it at once.

    `known` holds the results of another tree: the test that noticed there is tried first.
    """
    others = subprocess.run([sys.executable, "-c", OTHERS], capture_output=True, text=True)
    for name in others.stdout.split():
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    assert not [name for name in sys.modules if name.partition(".")[0] == "lpca"]
    lines = Lines.of(folder)
    done: dict[str, Any] = json.loads(results.read_text()) if results.exists() else {}
    before: dict[str, Any] = json.loads(known.read_text()) if known else {}
    breaks = {one.number: one for one in read_breaks()}
    for one in [breaks[number] for number in only or breaks]:
        if str(one.number) in done:
            continue
        place = one.first if first else one.now or one.first
        done[str(one.number)] = found = _plant(
            place, lines, folder, before.get(str(one.number), {}).get("by", "")
        )
        results.write_text(json.dumps(done, indent=1))
        print(one.number, one.kind, found, flush=True)


def _plant(place: Place, lines: Lines, folder: Path, known: str) -> dict[str, Any]:
    """Break the copy, run the tests, restore it."""
    source, candidate = source_of(TREE, place.file), find(TREE, place)
    broken = source.broken(candidate)
    assert broken is not None, place
    path, stages = TREE / place.file, [lines.called(known), *lines.stages(candidate)]
    started = time.monotonic()
    ended = Ended("passed")
    ran = 0
    try:
        path.write_text(broken)
        _forget(path)
        for chosen in _portions(stages, lines, place):
            with tempfile.TemporaryDirectory(prefix="break") as scratch:
                ended = _until_one_fails(chosen, lines.seconds, folder, Path(scratch))
            ran += ended.ran
            if ended.how != "passed":
                break
    finally:
        path.write_bytes(source.data)
        _forget(path)
    return {
        "caught": ended.how != "passed",
        "how": ended.how,
        "by": ended.test,
        "tests": [len(tests) for tests in stages],
        "ran": ran,
        "seconds": round(time.monotonic() - started, 1),
    }


def _portions(stages: list[list[str]], lines: Lines, place: Place) -> Iterator[list[str]]:
    """The tests within the budget: few first, of few files, for most breaks are noticed at once."""
    left = BUDGET
    for tests in stages:
        smaller = [test for test in tests if not test.startswith(WHOLE_RUNS)] or tests
        order = lines.promise(smaller, place)
        files = sorted({test.partition("::")[0] for test in smaller}, key=order)
        chosen: list[str] = []
        for test in sorted(smaller, key=lambda one: files.index(one.partition("::")[0])):
            seconds = lines.seconds.get(test, 1.0)
            if seconds < min(left, BUDGET / 4):
                chosen.append(test)
                left -= seconds
        for some in (files[:1], files[1:4], files[4:]):
            if portion := [test for test in chosen if test.partition("::")[0] in some]:
                yield portion


def _forget(path: Path) -> None:
    """Remove what is compiled: a change within a second and of the same length is not seen."""
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


@dataclass(frozen=True)
class Ended:
    """How a run of tests ended: passed, failed, hung or crashed; by which test."""

    how: str
    test: str = ""
    ran: int = 0


def _until_one_fails(
    tests: list[str], usual: dict[str, float], folder: Path, scratch: Path
) -> Ended:
    """Run tests until one fails."""
    scratch.mkdir(exist_ok=True)
    progress = scratch / "progress"
    progress.touch()
    child = os.fork()
    if child == 0:
        try:
            _become_pytest(tests, folder, scratch, progress)
        finally:
            os._exit(1)
    last, spent = time.monotonic(), 0.0
    code, said, test = None, "", ""
    try:
        while code is None:
            time.sleep(0.1)
            pid, status = os.waitpid(child, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if pid else None
            before, said = said, progress.read_text()
            begun = re.findall("^start (.*)", said, re.MULTILINE)
            if failed := re.search("^failed (.*)", said, re.MULTILINE):
                return Ended("failed", failed[1], len(begun))
            if said != before:
                last, test, spent = time.monotonic(), begun[-1], _computed(child)
            allowed = PATIENCE + TIMES * usual.get(test, 1.0)
            if _computed(child) - spent > allowed or time.monotonic() - last > IDLE:
                return Ended("hung", test, len(begun))
    finally:
        _kill(child, scratch)
    if code == 4 and "::" in tests[0]:  # a break can rename the cases of a test
        files = sorted({test.partition("::")[0] for test in tests})
        return _until_one_fails(files, usual, folder, scratch / "files")
    if code in (0, 5):
        return Ended("passed", ran=len(begun))
    return Ended("crashed", f"{test} (exit code {code})", len(begun))


def _computed(group: int) -> float:
    """Seconds that the processes of a group, and those that they waited for, have computed."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(") ")[2].split()
            ticks += sum(map(int, fields[11:15])) if int(fields[2]) == group else 0
    return ticks / os.sysconf("SC_CLK_TCK")


def _kill(child: int, scratch: Path) -> None:
    """End a run and whatever it started: it all has the scratch folder in its environment."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if str(scratch).encode() in environment.read_bytes():
                os.kill(int(environment.parent.name), signal.SIGKILL)


def _become_pytest(tests: list[str], folder: Path, scratch: Path, progress: Path) -> None:
    """In the process that was forked: run pytest, and end."""
    os.setsid()
    cache = scratch / "cache" / "lpca"
    cache.mkdir(parents=True)
    if (receivers := folder / "cache" / "lpca" / "receivers").exists():
        shutil.copytree(receivers, cache / "receivers", copy_function=os.link)
    os.environ.update(_environment(scratch) | {"BREAKS_PROGRESS": str(progress)})
    sys.path[:0] = [str(TREE)]
    with Path(os.environ.get("BREAKS_SAID", scratch / "said")).open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    options = ["-x", "-q", "-m", FAST, "-p", "breaks_run", "-p", "no:cacheprovider"]
    os._exit(pytest.main([*options, "--basetemp", str(scratch / "tests"), *tests]))


def sound(folder: Path, results: Path) -> None:
    """Run the tests that noticed a break without one; a test that fails noticed nothing."""
    found = json.loads(results.read_text())
    tests = sorted({one["by"] for one in found.values() if one["how"] in ("failed", "hung")})
    tests = [test for test in tests if not test.endswith(" (collection)")]
    environment = {**_environment(folder), "BREAKS_PROGRESS": str(folder / "sound")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "breaks_run", "-m", FAST, *tests]
    subprocess.run(command, env=environment, check=False)


def main() -> int:
    """Cover, run or check."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("what", choices=("cover", "run", "sound"))
    parser.add_argument("folder", type=Path, help="what coverage found")
    parser.add_argument("results", type=Path, nargs="?", help="what came of each break (JSON)")
    parser.add_argument("--only", type=int, nargs="*", default=[], help="breaks by number")
    parser.add_argument("--known", type=Path, help="the results of another tree")
    parser.add_argument("--first", action="store_true", help="the tree they were drawn in")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    if arguments.what == "cover":
        return cover(folder)
    if arguments.results is None:
        parser.error("the file of results is missing")
    if arguments.what == "run":
        run(folder, arguments.results, arguments.only, arguments.first, arguments.known)
    else:
        sound(folder, arguments.results)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
