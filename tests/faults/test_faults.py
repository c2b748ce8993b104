"""Every operation on a file is killed and failed once; a rerun gives what was never disturbed.

In full: `make test-faults`, which says what it counted; each run takes a sample.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faulty
import pytest
from faulty import ERRORS, HOWS, KILL, Fault, Tally, contents, gates, leftovers, lpca, run

SPEC = """version: 1
task: {name: trip, options: 4, seed: 5}
evaluation:
  {n: 24, score: likelihood, confidence: 0.95, equivalence_confidence: 0.90, checkpoints: 4}
gates:
  base:
    title: The task is valid
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.25, p1: 0.95}
    criteria:
      - {id: text_helps, claim: p1 - p0 > 0.10}
  main:
    title: The channel carries the message
    answers: seen
    requires: [base]
    conditions: [p0, p1, normal, null, shuffle]
    expect: {p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, shuffle: 0.02}
    criteria:
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""
GRID = """version: 1
gate: main
receiver: stub
dtype: float32
k: 4
seeds: [0]
defaults: {architecture: token_pooler, steps: 2, batch_size: 4}
rows:
  - {name: answer}
"""
RECIPE = "architecture: token_pooler\nsteps: 3\nbatch_size: 4\n"
TRAIN = ("train", "--receiver", "stub", "--recipe", "recipe.yaml", "--device", "cpu", "--out")


@dataclass(frozen=True)
class Case:
    """A command, and the folder in which it is run, as it is made from a warmed-up one."""

    command: Callable[[], int]
    ready: Callable[[Path], None] = lambda folder: None


def trained(folder: Path) -> None:
    """With a codec of two steps, which a gate takes."""
    (folder / "recipe.yaml").write_text(RECIPE)
    assert run(folder, lpca(*TRAIN, "codec")).code == 0
    shutil.rmtree(folder / "cache")


def replaced(folder: Path) -> None:
    """With another codec where one is written."""
    trained(folder)
    (folder / "recipe.yaml").write_text(RECIPE.replace("3", "4"))


def measured(folder: Path) -> None:
    """With a gate's evidence."""
    trained(folder)
    ran = run(folder, GATE)
    assert ran.code in (0, 1, 6), ran.said


GATE = gates("-m", "main", "--k", "4", "--checkpoint", "codec")
EVIDENCE = ".lpca/evidence/main-k4.json"
CASES = {
    "gate": Case(GATE, trained),
    "train": Case(lpca(*TRAIN, "codec"), replaced),
    "record": Case(lpca("record", EVIDENCE, "--folder", "attempts"), measured),
    "lab": Case(
        lpca("lab", "grid.yaml"), lambda folder: (folder / "grid.yaml").write_text(GRID) and None
    ),
    "judge": Case(lpca("judge", EVIDENCE), measured),
}


class Bench:
    """A command's case, ready to be disturbed."""

    def __init__(self, name: str, folder: Path) -> None:
        self.case, self.folder = CASES[name], folder
        self.ready = faulty.project(folder / "ready", SPEC)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lpca.codec.store.SNAPSHOT_EVERY", 1)
            self.case.ready(self.ready)
        self.whole = self.fresh("whole")
        self.undisturbed = run(self.whole, self.case.command)
        assert self.undisturbed.code in (0, 1, 6), self.undisturbed.said
        self.contents = contents(self.whole)
        self.before = contents(self.ready)

    def fresh(self, name: str) -> Path:
        """A folder as it was before."""
        return Path(shutil.copytree(self.ready, self.folder / name))

    def disturb(self, fault: Fault, tally: Tally) -> None:
        """Disturb a run, run again, and count what came of it."""
        folder = self.fresh(f"{fault.at}-{fault.how}")
        first = run(folder, self.case.command, fault)
        again = run(folder, self.case.command)
        operation = " ".join(first.operations[fault.at])
        tally.tried += 1
        tally.by_operation[first.operations[fault.at][0]] += 1
        name = f"operation {fault.at} ({operation}) {fault.how}"
        if problem := self.problem(folder, first, again, fault):
            kind, what = problem
            tally.found[kind] += 1
            tally.wrong.append(f"{name}: {kind}: {what}")
        else:
            tally.found["same"] += 1
            tally.found["refused"] += first.code not in (-9, self.undisturbed.code)
        shutil.rmtree(folder)

    def problem(
        self, folder: Path, first: faulty.Ran, again: faulty.Ran, fault: Fault
    ) -> tuple[str, str] | None:
        """What is lost or wrong, and how."""
        whole = self.undisturbed.code
        if fault.how != KILL and first.code not in (8, 4, whole):
            return "wrong", f"exit code {first.code}: {first.said[-900:]}"
        if "Traceback" in first.said + again.said:
            return "wrong", f"a traceback: {(first.said + again.said)[-1500:]}"
        if again.code != whole:
            return "wrong", f"the rerun's exit code is {again.code}: {again.said[-600:]}"
        if left := leftovers(folder):
            return "lost", f"left behind: {left}"
        found = contents(folder)
        for path in sorted({*found, *self.contents}):
            if path not in found:
                return "lost", path
            if found[path] != self.contents.get(path):
                return "wrong", f"{path}: {differing(found[path], self.contents.get(path))}"
        return None


def differing(found: object, whole: object) -> str:
    """Where two contents differ, for people."""
    if isinstance(found, dict) and isinstance(whole, dict):
        for name in sorted({*found, *whole}):
            if found.get(name) != whole.get(name):
                return f"{name}: {differing(found.get(name), whole.get(name))}"
    if isinstance(found, list) and isinstance(whole, list) and len(found) == len(whole):
        for index, (one, other) in enumerate(zip(found, whole, strict=True)):
            if one != other:
                return f"[{index}]: {differing(one, other)}"
    return f"{found!r:.300} != {whole!r:.300}"


@pytest.fixture(scope="module")
def benches(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bench]:
    made: dict[str, Bench] = {}

    def bench(name: str) -> Bench:
        if name not in made:
            made[name] = Bench(name, tmp_path_factory.mktemp(name))
        return made[name]

    return bench


SAMPLE, LARGER_SAMPLE = 2, 8
"""Operations of each command in the fast suite and in the slow one."""


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *((name, SAMPLE) for name in ("gate", "train", "record")),
        *(pytest.param(name, LARGER_SAMPLE, marks=pytest.mark.slow(seconds=30)) for name in CASES),
    ],
)
def test_a_sample_of_operations(benches: Callable[[str], Bench], name: str, size: int) -> None:
    bench, tally, rng = benches(name), Tally(), random.Random(f"{size} {name}")
    count = len(bench.undisturbed.operations)
    for index, at in enumerate(rng.sample(range(count), min(size, count))):
        bench.disturb(Fault(at, HOWS[index % len(HOWS)]), tally)
    assert tally.wrong == [], "\n".join(tally.lines())


@pytest.mark.slow(seconds=90)
@pytest.mark.faults
@pytest.mark.parametrize("fails", [False, True], ids=["killed", "failed"])
@pytest.mark.parametrize("name", CASES)
def test_every_operation(benches: Callable[[str], Bench], name: str, fails: bool) -> None:
    """The errors in turn; each at every operation where LPCA_FAULTS says `all`."""
    bench, tally = benches(name), Tally()
    for at in range(len(bench.undisturbed.operations)):
        errors = ERRORS if os.environ.get("LPCA_FAULTS") == "all" else [[*ERRORS][at % 3]]
        for how in errors if fails else [KILL]:
            bench.disturb(Fault(at, how), tally)
    print(f"\n{name} {'failed' if fails else 'killed'}:", *tally.lines(), sep="\n  ")
    assert tally.wrong == []
