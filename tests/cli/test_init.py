import stat
from pathlib import Path

import pytest
import yaml

from lpca import scaffold
from lpca.cli import main
from lpca.scaffold import places, project_files

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
    write, count = scaffold._write_new, 0

    def fails_at_the_sixth(*arguments):
        nonlocal count
        count += 1
        if count == 6:
            raise error
        write(*arguments)

    monkeypatch.setattr(scaffold, "_write_new", fails_at_the_sixth)
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
