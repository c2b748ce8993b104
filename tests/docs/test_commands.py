"""Every command, spec and script that the documentation shows is run as it stands there.

Each page has a project of its own: a copy of this tree with a small spec and what the pages name.
What is run in another form is listed in `RULES`, with the reason.
"""

from __future__ import annotations

import compileall
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gate_project
import pytest
import warm
import yaml
from pages import ROOT, blocks, commands

from lpca.gatespec.load import load_spec
from lpca.lab.grid import read_grid


@dataclass(frozen=True)
class Rule:
    """Commands that match `pattern` are run as `run`, and may end on one of `exits`."""

    pattern: str
    run: str
    why: str
    exits: tuple[int, ...] = (0,)


RULES = (
    Rule(r"^make (\S+)", r"make -n \1", "what it runs is run by itself; here: the target exists"),
    Rule(
        r"^python3 -m venv .venv$",
        "python3 -m venv --without-pip .venv",
        "only its interpreter is used below",
    ),
    Rule(
        r"^\.venv/bin/python -m pip install --constraint constraints.txt --editable '.\[dev\]'$",
        "python -m pip install --dry-run --no-deps --no-index --no-build-isolation "
        "--constraint constraints.txt --editable '.[dev]'",
        "installs torch anew; the wheel is installed in tests of its own",
    ),
    Rule(r"^\.venv/bin/", "", "the environment that runs this test has what that one would"),
    Rule(
        r"^((?:python -m )?pytest gates/(?!.*--receiver).*)$",
        r"\1 --receiver stub",
        "the default receiver takes minutes and 93 MB",
    ),
    Rule(
        r"^(pytest gates/ -m gate2) --k 16 (.*)$",
        r"\1 --k 8 \2",
        "a codec of 16 vectors is trained as one of 8 is, which the command before it has trained",
    ),
    Rule(
        r"^(lpca train (?!.*--receiver).*)$",
        r"\1 --receiver stub",
        "the default receiver takes minutes and 93 MB",
    ),
    Rule(
        r"^accelerate launch --multi_gpu --num_processes 4 (-m lpca train .*)$",
        r"python -m torch.distributed.run --standalone --nproc-per-node 2 \1 --receiver stub "
        "--device cpu",
        "needs GPUs; processes of a CPU are started in another way",
    ),
    Rule(
        r"^torchrun (.* -m lpca train .*)$",
        r"python -m torch.distributed.run --standalone \1 --receiver stub",
        "the same module, found beside this interpreter; the default receiver takes minutes",
    ),
    Rule(
        r"^(lpca diagnose (?!.*--receiver).*)$",
        r"\1 --receiver stub",
        "the codec beside it was trained for the stub",
    ),
    Rule(
        r"^lpca lab examples/lab/(?!stub).*$",
        "lpca lab examples/lab/stub.yaml",
        "the documented grids take hours on the default receiver; this one is short",
    ),
    Rule(
        r"^lpca lab examples/relay/(reader\S*)\.yaml.*$",
        r"sed -i 's/steps: .*}/steps: 2}/; s/^k: .*/k: [1, 2]/' examples/relay/\1.yaml && "
        r"lpca lab examples/relay/\1.yaml",
        "eighteen codecs of 600 steps take half an hour; these are six of two steps",
    ),
    Rule(
        r"^python -m pytest tests(/base -x| -m \"not slow\").*",
        "python -m pytest tests/base/test_hashing.py",
        "these are the tests that run this one: a short one stands for all",
    ),
    Rule(
        r"^python -m pip install 'lpca\[(ray|modal)\]'$",
        r"grep -q '^\1 = ' pyproject.toml",
        "fetches packages; here: the extra exists",
    ),
    Rule(
        r"^modal (setup|run modal_app.py).*",
        "test -f modal_app.py",
        "needs an account; `tests/modal_app` runs the functions here",
    ),
    Rule(
        r"^lpca sabotage.*",
        "lpca sabotage --only order_gives_answer",
        "all faults take half an hour, and `tests/sabotage` plants each",
    ),
)
QUICK = re.compile(r"make |lpca (check|plan|schema|judge outcomes.csv)\b")
"""Runs no model, and needs nothing that an earlier command of its page made."""
OPEN = """
  gate1_open:
    title: The channel carries messages it was never trained on
    answers: unseen
    requires: [gate0]
    conditions: [p0, p1, normal, null, shuffle]
    expect: {p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, shuffle: 0.02}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.10}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""
SECOND = gate_project.MAIN.replace("  main:", "  gate2:")
SPEC = gate_project.HEAD + (gate_project.BASE + gate_project.MAIN + OPEN + SECOND).replace(
    "  base:", "  gate0:"
).replace("  main:", "  gate1:").replace("[base]", "[gate0]")
LONG = {"README.md": 100, "docs/lab/capability.md": 60, "docs/past-one-machine.md": 55}
"""Pages that take most seconds, about: they begin first."""
LEFT_OUT = shutil.ignore_patterns(
    *(".git", ".venv", ".lpca", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"),
    *("site", "build", "dist", "node_modules", "allure-results", "shared"),
)
PAGES = sorted({block.page for block in blocks("sh", "console", "python") if not block.title})


class Project:
    """A copy of the tree in which a page's commands are run one after the other."""

    def __init__(self, path: Path, cache: Path) -> None:
        self.path = path
        shutil.copytree(ROOT, path, ignore=LEFT_OUT)
        compileall.compile_dir(path / "lpca", quiet=1)  # else every command would, where -B holds
        self.write("gate_specs.yaml", SPEC)
        self.write("outcomes.csv", "\n".join(outcomes()))
        shutil.copytree(path / "lpca" / "receivers" / "stub", path / "my-model")
        shutil.copy(path / "examples" / "own_codec.py", path / "my_codec.py")
        programs = path / ".programs"
        programs.mkdir()
        python = f'"{sys.executable}" -S -E "{warm.__file__}"'
        for name, module in {"lpca": "lpca", "pytest": "pytest", "mkdocs": "mkdocs"}.items():
            self._program(programs / name, f"{python} -m {module}")
        for name in ("python", "python3"):
            self._program(programs / name, python)
        self.environment = {
            **os.environ,
            warm.ADDRESS: warm.address(),
            "LPCA_CACHE": str(cache),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(path),
        }

    def _program(self, path: Path, command: str) -> None:
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-ec", script],
            cwd=self.path,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )


def outcomes():
    """Sixty episodes of either kind of answers, on which the small spec's claims hold."""
    rates = {"p0": 25, "p1": 95, "embed": 95, "normal": 95, "null": 25, "random": 25}
    rates |= {"shuffle": 2, "static": 25}
    yield "seed,answers," + ",".join(rates)
    for index in range(120):
        cells = [str(int(index % 60 * 37 % 100 < rate)) for rate in rates.values()]
        yield f"{index},{'seen' if index < 60 else 'unseen'}," + ",".join(cells)


def as_run(command):
    """What is run for a command, and how it may end."""
    exits = {0}
    for rule in RULES:
        changed = re.sub(rule.pattern, rule.run, command)
        if changed != command:
            command, exits = changed, exits | set(rule.exits)
    return command, exits


def script(block, chosen, substituted):
    """A block's commands as one shell session, in which each may end as its rules allow.

    What several commands of a page are run as is run once.
    """
    for command in commands(block):
        run, exits = as_run(command)
        if chosen(run) and run not in substituted:
            if run != command:
                substituted.add(run)
            allowed = "|".join(map(str, exits))
            yield f"echo {shlex.quote('+ ' + run)} >&2"
            yield f"{run} || case $? in {allowed}) ;; *) exit 99 ;; esac"


def run_page(project, page, chosen, kinds=("sh", "console")):
    own = [block for block in blocks(*kinds, "json", "yaml") if block.page == page]
    for block in own:
        if block.title:
            project.write(block.title, block.text)
    substituted = set()
    for block in own:
        if block.kind == "python" and not block.title:
            project.write("block.py", block.text)
            session = "python block.py"
        else:
            shell = block.kind in ("sh", "console")
            session = "\n".join(script(block, chosen, substituted)) if shell else ""
        done = project.run(session)
        assert done.returncode == 0, (
            f"{block.place} ended on {done.returncode}:\n{session}\n"
            f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )


QUICK_PAGES = sorted(
    {
        block.page
        for block in blocks("sh", "console")
        if any(QUICK.match(as_run(command)[0]) for command in commands(block))
    }
)


@pytest.mark.parametrize("page", QUICK_PAGES)
def test_commands_that_need_nothing_else(page, tmp_path, lpca_cache):
    run_page(Project(tmp_path / "project", lpca_cache), page, QUICK.match)


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow(seconds=LONG.get(page, 15))) for page in PAGES],
)
def test_every_command_and_script_in_its_order(page, tmp_path, lpca_cache):
    kinds = ("sh", "console", "python")
    run_page(Project(tmp_path / "project", lpca_cache), page, lambda _: True, kinds)


def test_every_rule_is_needed():
    shown = [command for block in blocks("sh", "console") for command in commands(block)]
    needed = set()
    for command in shown:
        for rule in RULES:
            changed = re.sub(rule.pattern, rule.run, command)
            if changed != command:
                command = changed
                needed.add(rule)
    assert [rule.pattern for rule in RULES if rule not in needed] == []


WHOLE = [block for block in blocks("yaml") if re.search(r"^version:", block.text, re.M)]
GRIDS = [block for block in WHOLE if re.search(r"^rows:", block.text, re.M)]
SPECS = [block for block in WHOLE if block not in GRIDS]


@pytest.mark.parametrize("block", SPECS, ids=lambda block: block.place)
def test_every_whole_spec_is_one(block, tmp_path):
    path = tmp_path / "gate_specs.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert load_spec(path).gates


@pytest.mark.parametrize("block", GRIDS, ids=lambda block: block.place)
def test_every_grid_is_one(block, tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert read_grid(path).rows


@pytest.mark.parametrize(
    "block", [one for one in blocks("yaml") if one not in WHOLE], ids=lambda block: block.place
)
def test_every_other_yaml_block_is_yaml(block):
    assert yaml.safe_load(block.text)
