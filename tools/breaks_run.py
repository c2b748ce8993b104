"""Plant the breaks of `tools/breaks.py` one at a time and see which test notices.

    python tools/breaks_run.py cover FOLDER          run the fast suite, record who runs which line
    python tools/breaks_run.py run FOLDER RESULTS    plant each break, run the tests of its line
    python tools/breaks_run.py sound FOLDER RESULTS  do the tests that noticed pass without a break?

To be started in a private copy of the repository, by a Python whose lpca is that copy: `run`
changes the copy, restores it, and goes on from RESULTS when it was stopped. A test that a break
makes wait is stopped and counts as one that noticed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from breaks import read_breaks
from breaks_code import Place, find, source_of
from breaks_tests import FAST, TREE, Lines, cover, environment_of

ROOMS = ("diagnose", "docs", "examples", "lab", "plugin", "sabotage", "untrusted")
WHOLE_RUNS = tuple(f"tests/{room}/" for room in ROOMS)
"""Tests that make whole runs: only for what nothing smaller runs."""
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
    os.environ.update(environment_of(scratch) | {"BREAKS_PROGRESS": str(progress)})
    sys.path[:0] = [str(TREE)]
    with Path(os.environ.get("BREAKS_SAID", scratch / "said")).open("a") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    options = ["-x", "-q", "-m", FAST, "-p", "breaks_tests", "-p", "no:cacheprovider"]
    os._exit(pytest.main([*options, "--basetemp", str(scratch / "tests"), *tests]))


def sound(folder: Path, results: Path) -> None:
    """Run the tests that noticed a break without one; a test that fails noticed nothing."""
    found = json.loads(results.read_text())
    tests = sorted({one["by"] for one in found.values() if one["how"] in ("failed", "hung")})
    tests = [test for test in tests if not test.endswith(" (collection)")]
    environment = {**environment_of(folder), "BREAKS_PROGRESS": str(folder / "sound")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "breaks_tests", "-m", FAST, *tests]
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
