"""CONTRIBUTING.md says how each of six things is added: its files are found and used as shown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from pages import ROOT, blocks

ADDED = [one for one in blocks("python") if one.page == "CONTRIBUTING.md" and one.title]
REGISTERED = re.compile(r'^@(\w+)\.register\("(\w+)"', re.M)
SPEC = """\
version: 1
task: {name: move, seed: 1}
evaluation: {n: 12}
gates:
  added:
    conditions: [p0, normal, null, shuffle, negated]
    reported: [normal, null, shuffle, negated]
    expect: {p0: 0.25, normal: 0.95, null: 0.25, shuffle: 0.05}
    criteria:
      - {id: guessed, claim: p0 < 0.9}
"""
RECIPE = (
    "{architecture: first_tokens, objective: {answer: 1, small: 0.1}, steps: 2, batch_size: 4}\n"
)
GRID = """\
version: 1
gate: added
receiver: stub
k: [2]
seeds: [0]
rows:
  - {name: first tokens, architecture: first_tokens, steps: 2, batch_size: 4}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of lpca with the files of the page, and a spec and a recipe that name them."""
    folder = tmp_path_factory.mktemp("added")
    for name in ("lpca", "gates"):
        shutil.copytree(ROOT / name, folder / name, copy_function=os.symlink)
    shutil.copy(ROOT / "conftest.py", folder)
    for block in ADDED:
        path = folder / block.title
        assert path.parent.is_dir(), block.title
        assert not path.exists(), block.title
        path.write_text(block.text, encoding="utf-8")
    (folder / "gate_specs.yaml").write_text(SPEC, encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    return folder


def run(folder, *command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_each_of_the_six_is_found_by_its_one_file(project):
    lines = []
    for block in ADDED:
        ((registry, name),) = REGISTERED.findall(block.text)
        module = re.search(rf"^from (\S+) import [^\n]*\b{registry}\b", block.text, re.M)
        assert module is not None, block.title
        lines.append(f"from {module[1]} import {registry}; {registry}[{name!r}]")
    assert len(lines) == 6
    run(project, "-c", "\n".join(lines))


def test_editors_know_an_added_condition(project):
    assert '"negated"' in run(project, "-m", "lpca", "schema")


@pytest.mark.slow
def test_what_was_added_is_trained_measured_and_checked(project):
    assert "no findings" in run(project, "-m", "lpca", "check")
    trained = ["--receiver", "stub", "--k", "2", "--recipe", "recipe.yaml", "--out", "codec"]
    run(project, "-m", "lpca", "train", *trained)
    told = run(
        *(project, "-m", "pytest", "gates/", "-m", "added", "--receiver", "stub", "--k", "2"),
        *("--checkpoint", "codec", "--lpca-verbose"),
    )
    assert "negated" in told
    assert "PASS" in told
    (project / "grid.yaml").write_text(GRID, encoding="utf-8")
    counted = run(project, "-m", "lpca", "lab", "grid.yaml", "--engine", "counted")
    assert "first tokens" in counted
