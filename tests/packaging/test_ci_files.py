"""What continuous integration reads: the files parse, and the commands in them exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from importlib.metadata import PackageNotFoundError

import pytest
import yaml
from gate_project import ROOT

from lpca.base.errors import RequestError
from lpca.commands.cli import COMMANDS, main
from lpca.commands.init import project_files, requirement

WORKFLOW = ".github/workflows/gates.yml"
OURS = {"lpca", "pytest"}
OTHERS = {"python", "mkdir", "cp", "gh"}


def scaffold():
    return yaml.safe_load(project_files()[WORKFLOW])["jobs"]["gates"]["steps"]


def action():
    return yaml.safe_load((ROOT / "action.yml").read_text())


STEPS = {"scaffold": scaffold, "action": lambda: action()["runs"]["steps"]}


def commands(steps):
    for step in steps:
        for line in str(step.get("run", "")).splitlines():
            yield shlex.split(line.removesuffix(" || true"))


@pytest.mark.parametrize("of", STEPS)
def test_every_step_runs_what_there_is(of, capsys):
    for name, *arguments in commands(STEPS[of]()):
        assert name in OURS | OTHERS, name
        if name == "lpca":
            assert arguments[0] in COMMANDS
            options = [one for one in arguments if one.startswith("--")]
            with pytest.raises(SystemExit):
                main([arguments[0], "--help"])
            assert all(option in capsys.readouterr().out for option in options)


@pytest.mark.parametrize("of", STEPS)
def test_cache_ledger_check_gate_and_comment_come_in_order(of):
    steps = STEPS[of]()
    text = [yaml.dump(step, sort_keys=False) for step in steps]
    wanted = ("setup-python", "pip install", "~/.cache/lpca", "~/lpca-ledger", "ledger merge")
    wanted += ("lpca check --format github", "pytest ", "cp .lpca/ledger", "--body-file")
    found = [next(i for i, step in enumerate(text) if part in step) for part in wanted]
    assert found == sorted(found)
    for step in steps:
        if "cache@" in step.get("uses", ""):
            # a key of its own for each run: a cache is never written twice
            assert "github.run_id" in step["with"]["key"]
            assert step["with"]["key"].startswith(step["with"]["restore-keys"])


def test_each_input_of_the_action_is_used():
    text = (ROOT / "action.yml").read_text()
    assert set(action()["inputs"]) == set(re.findall(r"inputs\.([\w-]+)", text))
    assert all("shell" in step for step in action()["runs"]["steps"] if "run" in step)


def test_the_hook_runs_a_command():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"].split() == ["lpca", "check"]
    assert re.search(hook["files"], "gate_specs.yaml")
    assert hook["language"] == "system"


def test_the_citation_has_the_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == project["version"]


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("0.1.0", "lpca==0.1.0"),
        ("https://example.org/lpca.whl", "lpca @ https://example.org/lpca.whl"),
        ("git+https://example.org/lpca@v1", "lpca @ git+https://example.org/lpca@v1"),
    ],
)
def test_init_writes_what_is_installed(where, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--lpca", where]) == 0
    assert (tmp_path / "requirements.txt").read_text().splitlines()[-1] == line


@pytest.mark.parametrize("asked", [(), ("--lpca", "0.1.0")])
def test_init_says_where_a_job_would_not_find_lpca(asked, tmp_path, monkeypatch, capsys):
    def nowhere(name):
        raise PackageNotFoundError(name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lpca.commands.init.distribution", nowhere)
    assert main(["init", *asked]) == 0
    assert ("requirements.txt: its last line" in capsys.readouterr().out) is not bool(asked)


@pytest.mark.parametrize("where", ["../lpca", "git+https://example.org/lpca", "lpca.whl", ""])
def test_init_refuses_what_no_job_could_install(where):
    with pytest.raises(RequestError, match="allowed: a version"):
        requirement(where)
