import json
import runpy
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import warm
import yaml
from installed import plain_environment

from lpca.commands.cli import main
from lpca.commands.init import places, project_files

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_in(folder):
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def test_the_project_is_written_and_its_next_steps_named(here, capsys):
    assert main(["init", "my gates"]) == 0
    text = capsys.readouterr().out
    written = names_in(here / "my gates")
    assert written == sorted(project_files())
    assert {"gate_specs.yaml", "gates/test_leaks.py", "conftest.py", "episodes.jsonl"} <= {*written}
    assert {".gitignore", ".github/workflows/gates.yml", "pytest.ini", "my_codec.py"} <= {*written}
    assert all(f"  {name}\n" in text for name in written)
    assert "  cd 'my gates'\n  lpca check\n  pytest gates/\n" in text


def test_by_default_it_is_this_folder_whatever_else_is_there(here, capsys):
    (here / ".git").mkdir()
    (here / "notes.txt").write_text("mine")
    assert main(["init"]) == 0
    assert (here / "notes.txt").read_text() == "mine"
    assert (here / "gate_specs.yaml").is_file()
    assert "cd " not in capsys.readouterr().out


def test_what_is_there_is_named_and_nothing_is_written(here, capsys):
    (here / "gates").mkdir()
    (here / "gates" / "test_leaks.py").write_text("mine")
    (here / "pytest.ini").symlink_to("nowhere")
    assert main(["init"]) == 4
    error = capsys.readouterr().err
    assert error == (
        ".: already there: gates/test_leaks.py, pytest.ini; allowed: a folder without them\n"
    )
    assert names_in(here) == ["gates/test_leaks.py"]
    assert (here / "gates" / "test_leaks.py").read_text() == "mine"


@pytest.mark.parametrize("where", ["gates", ".github/workflows"])
def test_a_file_in_place_of_a_folder_is_in_the_way(here, capsys, where):
    (here / where).parent.mkdir(exist_ok=True)
    (here / where).write_text("mine")
    assert main(["init"]) == 4
    assert f"already there: {where}; allowed" in capsys.readouterr().err
    assert names_in(here) == [where]


def test_a_folder_that_cannot_be_made_is_one_line(here, capsys):
    (here / "file").write_text("mine")
    assert main(["init", "file/gates"]) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert names_in(here) == ["file"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_all_files_or_none(here, capsys, monkeypatch, error):
    opened, count = Path.open, 0

    def fails_at_the_sixth(path, mode="r", *arguments, **named):
        nonlocal count
        count += mode == "xb"
        if count == 6:
            raise error
        return opened(path, mode, *arguments, **named)

    monkeypatch.setattr(Path, "open", fails_at_the_sixth)
    (here / ".github").mkdir()
    assert main(["init"]) == (4 if isinstance(error, OSError) else 2)
    assert [one.name for one in here.rglob("*")] == [".github"]


def test_three_places_are_the_users_and_named_with_their_lines(here, capsys):
    main(["init"])
    text = capsys.readouterr().out
    found = places()
    assert [place.number for place in found] == [1, 2, 3]
    for place in found:
        line = (here / place.file).read_text().splitlines()[place.line - 1]
        assert line.strip() == place.text
        assert f"  {place.file}:{place.line}" in text
    assert [place.text for place in found] == [
        "--codec my_codec:make",
        "--receiver stub",
        "file: episodes.jsonl",
    ]


def test_the_gates_are_those_of_this_repository():
    project = project_files()
    for name in ("conftest.py", "gates/test_leaks.py", "gates/test_criteria.py"):
        assert project[name] == (ROOT / name).read_bytes()


def test_the_workflow_runs_what_a_person_runs():
    workflow = yaml.safe_load(project_files()[".github/workflows/gates.yml"])
    steps = workflow["jobs"]["gates"]["steps"]
    run = [step["run"] for step in steps if "run" in step]
    assert [line for line in run if line.startswith(("lpca", "pytest"))] == [
        "lpca doctor",
        "lpca check --format github",
        "pytest gates/",
    ]


def test_files_are_the_users_to_change(here):
    main(["init"])
    for name in project_files():
        mode = (here / name).stat().st_mode
        assert mode & stat.S_IWUSR
        assert not mode & stat.S_IXUSR


def pytest_in(folder, *arguments):
    return warm.run(
        [sys.executable, "-m", "pytest", "gates", "-q", "--tb=line", *arguments],
        cwd=folder,
        env=plain_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )


def test_a_fresh_project_comes_to_a_verdict_at_once(here, capsys):
    main(["init"])
    capsys.readouterr()
    assert main(["check"]) == 0
    assert capsys.readouterr().out == "gate_specs.yaml: no findings\n"
    done = pytest_in(here)
    assert done.returncode == 0, done.stdout + done.stderr
    evidence = json.loads((here / ".lpca" / "evidence" / "gate1-k8.json").read_text())
    assert evidence["verdict"] == "PASS"
    assert (evidence["receiver"]["name"], evidence["task"]["name"]) == ("stub", "episodes")
    assert evidence["codec"]["origin"] == "own"
    subprocess.run(["git", "init", "-q"], check=True)
    shown = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"], capture_output=True, text=True
    )
    tracked = {line[3:] for line in shown.stdout.splitlines()}
    assert {name for name in tracked if not name.startswith(".lpca")} == set(project_files())
    ledger = {name for name in tracked if name.startswith(".lpca")}
    assert ledger == {".lpca/ledger/looks.jsonl", ".lpca/ledger/looks.head.json"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "instead", "refusal"),
    [
        (1, "--codec nowhere:make", "there is no module nowhere"),
        (2, "--receiver ./nowhere", "receiver ./nowhere: no folder with a config.json is there"),
        (3, "file: nowhere.jsonl", "nowhere.jsonl: there is no such file"),
    ],
)
def test_each_of_the_three_places_is_the_one_that_counts(here, number, instead, refusal):
    main(["init"])
    place = places()[number - 1]
    path = here / place.file
    path.write_text(path.read_text().replace(place.text, instead))
    done = pytest_in(here, "-x")
    assert done.returncode == 4
    assert refusal in done.stdout + done.stderr


def test_the_sample_is_what_its_tool_writes():
    tool = runpy.run_path(str(ROOT / "tools" / "make_sample.py"))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in tool["rows"]()]
    assert "".join(lines).encode() == project_files()["episodes.jsonl"]


def test_every_city_of_the_sample_is_as_often_right_and_in_every_place():
    rows = [json.loads(line) for line in project_files()["episodes.jsonl"].splitlines()]
    places = Counter((row["answer"], row["options"].index(row["answer"])) for row in rows)
    assert set(places.values()) == {3}
    assert len({row["message"] for row in rows}) == len(rows) == 480
    assert all(row["context"].count("{message}") == 1 for row in rows)
