"""A project whose runs are killed, each in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import warm
from gate_project import QUICK, ROOT

GATES = """
version: 1
task: {name: trip, options: 4, seed: 5}
evaluation: {n: 24, score: likelihood, confidence: 0.95, equivalence_confidence: 0.90}
gates:
  main:
    title: The channel carries the message
    answers: seen
    conditions: [p0, normal, null, shuffle]
    expect: {p0: 0.25, normal: 0.95, null: 0.25, shuffle: 0.02}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""
SHORT = """
import os, time
import lpca.codec.store, lpca.evaluation.evaluate, lpca.gate.runner
from dataclasses import replace
from lpca.codec.recipe import Recipe, Stage

recipe = Recipe(stages=(Stage(12),), batch_size=4, validation_every=6)

sound = lpca.gate.runner.STEPS

def short(receiver, task, request, *rest):
    if request.recipe == Recipe():
        request = replace(request, recipe=recipe)
    return sound.obtain_codec(receiver, task, request, *rest)

def slow(setting, conditions, cache, batch_size, report, *rest):
    def report_and_rest(*counts):
        report(*counts)
        time.sleep(float(os.environ.get("REST", 0)))

    return sound.evaluate(setting, conditions, cache, batch_size, report_and_rest, *rest)

lpca.gate.runner.STEPS = replace(sound, obtain_codec=short, evaluate=slow)
lpca.codec.store.SNAPSHOT_EVERY = 4
lpca.evaluation.evaluate.BLOCK = 8
"""
PATIENCE = 600.0
"""Seconds after which a run hangs; on a busy machine one takes minutes."""


class Runs:
    """Starts `pytest gates/` of a project with a short training, on a cache of its own."""

    def __init__(self, path: Path, cache: Path, environment: dict[str, str]) -> None:
        self.path, self.cache = path, cache
        self.environment = environment | {"LPCA_CACHE": str(cache), "PYTHONPATH": str(ROOT)}

    def start(self, *arguments: str, rest: float = 0.0) -> subprocess.Popen[str]:
        """Start a run that may be signalled; it rests for so many seconds after each block."""
        command = [sys.executable, "-m", "pytest", "gates", "-m", "main", "--receiver", "stub"]
        return warm.Popen(
            [*command, *QUICK, *arguments],
            cwd=self.path,
            env=self.environment | {"REST": str(rest)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, *arguments: str) -> str:
        """Run to the end, and return what it printed."""
        return self.said(self.start(*arguments))

    def said(self, run: subprocess.Popen[str]) -> str:
        """Wait for a run's end, and return what it printed; one that hangs is killed."""
        try:
            return run.communicate(timeout=PATIENCE)[0]
        finally:
            run.kill()

    def stop(
        self, run: subprocess.Popen[str], sign: signal.Signals, when: Callable[[], bool]
    ) -> str:
        """Signal a run as soon as `when` holds; return what it printed."""
        limit = time.monotonic() + PATIENCE
        while not when() and run.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        run.send_signal(sign)
        return self.said(run)

    def snapshots(self) -> list[Path]:
        """The snapshots of trainings that have not ended."""
        return list((self.cache / "codecs").glob("*.snapshot"))

    def blocks(self) -> list[Path]:
        """The outcomes that are kept."""
        return list((self.cache / "outcomes").glob("*/*.json"))

    def unfinished(self) -> list[Path]:
        """What only a running process may have in its folders."""
        folders = (self.cache, self.path / ".lpca")
        found = [path for folder in folders for path in folder.rglob("*")]
        return [p for p in found if p.suffix == ".part" or p.name.startswith("tmp")]

    def measured(self) -> dict[str, object]:
        """What the evidence says, without when and how it was made."""
        evidence = json.loads((self.path / ".lpca" / "evidence" / "main-k4.json").read_text())
        for numbers in evidence["conditions"].values():
            del numbers["seconds"]
        kept = ("verdict", "criteria", "checks", "conditions", "hashes", "episodes")
        return {name: evidence[name] for name in kept}


@pytest.fixture(scope="session")
def make_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Runs]:
    """Make a project, with a cache of its own unless one is given."""

    def make(cache: Path | None = None) -> Runs:
        path = tmp_path_factory.mktemp("project")
        (path / "gates").mkdir()
        for name in ("gates/test_leaks.py", "gates/test_criteria.py"):
            (path / name).write_text((ROOT / name).read_text())
        (path / "conftest.py").write_text((ROOT / "conftest.py").read_text() + SHORT)
        (path / "pytest.ini").write_text("[pytest]\n")
        (path / "gate_specs.yaml").write_text(GATES)
        return Runs(path, cache or tmp_path_factory.mktemp("cache"), dict(os.environ))

    return make


@pytest.fixture
def runs(make_runs: Callable[..., Runs]) -> Runs:
    """A project on which nothing has run yet."""
    return make_runs()


@pytest.fixture(scope="session")
def whole(make_runs: Callable[..., Runs]) -> Runs:
    """A project whose run was never stopped: to be read, or copied."""
    made = make_runs()
    said = made.finish()
    assert "main k=4:" in said, said
    return made
