"""`lpca init --from` makes a project around somebody's rows that is checked and runs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from installed import plain_environment

from lpca.commands.cli import main
from lpca.commands.init import project_files
from lpca.gatespec.load import load_spec

ROOT = Path(__file__).parents[2]
MAP = "message=text,question=asked,answer=city,id=nr"
Rows = list[dict[str, Any]]


def trips() -> Rows:
    """Rows that the stub can read, in a form that lpca does not know."""
    sample = project_files()["episodes.jsonl"].decode().splitlines()
    return [
        {"nr": i, "text": row["message"], "asked": "Where does the trip go?", "city": row["answer"]}
        for i, row in enumerate(map(json.loads, sample))
    ]


def written(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return path


def episodes(folder: Path) -> Rows:
    lines = (folder / "episodes.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("from")
    rows = trips()
    rows[3]["asked"] = f"Is it {rows[3]['city']}?"
    rows[4]["city"] = ""
    rows[5]["text"] += "\u200b"
    source = str(written(home / "trips.csv", rows))
    assert main(["init", str(home / "p"), "--from", source, "--map", MAP]) == 0
    return home / "p"


def test_every_file_of_a_project_is_there_and_the_spec_has_no_findings(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {str(one.relative_to(project)) for one in project.rglob("*") if one.is_file()}
    assert {name for name in files if not name.startswith(".lpca")} == set(project_files())
    spec = str(project / "gate_specs.yaml")
    assert main(["check", spec, "--receiver", "stub"]) == 0
    assert capsys.readouterr().out == f"{spec}: no findings\n"


def test_rows_keep_what_they_tell_and_get_options_of_their_split(project: Path) -> None:
    rows, own = episodes(project), {str(row["nr"]): row for row in trips()}
    assert len(rows) >= 470
    assert not {"3", "4"} & {row["id"] for row in rows}
    for row in rows:
        told = own[row["id"]]
        assert (row["message"], row["answer"]) == (told["text"], told["city"])
        assert row["context"] == "{message}\nQuestion: Where does the trip go?\nAnswer:"
        assert len(row["options"]) == len(set(row["options"])) == 4
        assert row["answer"] in row["options"]


def test_the_page_says_what_was_left_out_what_was_measured_and_why(project: Path) -> None:
    page = (project / "README.md").read_text(encoding="utf-8")
    assert len(page.split()) < 900
    assert "480 rows were read" in page
    assert "1 gives-away, the first: " in page
    assert "trips.csv:5:" in page
    assert "Hidden characters were taken out of 1" in page
    assert "without a message (`p0`): " in page
    assert "Receiver stub, 4" in page
    assert "text adds " in page
    assert "the whole gate" in page
    assert all(len(line) <= 110 for line in page.splitlines())


def test_expectations_are_what_was_measured(project: Path) -> None:
    gate = load_spec(project / "gate_specs.yaml").gates["gate1"]
    assert gate.expect["p1"] > 0.9
    assert 0.1 < gate.expect["p0"] < 0.5
    assert gate.expect["p0"] < gate.expect["normal"] < gate.expect["p1"]
    assert gate.expect["shuffle"] < gate.expect["p0"]


@pytest.mark.slow
def test_the_project_comes_to_a_verdict_with_its_sample_channel(project: Path) -> None:
    done = warm.run(
        [sys.executable, "-m", "pytest", "gates", "-m", "gate1", "-q", "--tb=line"],
        cwd=project,
        env=plain_environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate1 k=8: PASS" in done.stdout


def test_that_b_cannot_read_the_text_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "text": f"The plan has number {row['nr']}."} for row in trips()[:240]]
    source = str(written(tmp_path / "trips.csv", rows))
    assert main(["init", str(tmp_path / "p"), "--from", source, "--map", MAP]) == 0
    out = capsys.readouterr().out
    assert "WARNING: B cannot read this text: with the message it is right " in out
    assert "take a larger receiver" in out
    assert "**B cannot read this text: " in (tmp_path / "p" / "README.md").read_text()


def test_what_the_stub_cannot_read_is_not_measured_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**row, "text": "so " * 600 + row["text"]} for row in trips()[:400]]
    source = str(written(tmp_path / "trips.csv", rows))
    asked = ["--from", source, "--map", MAP]
    assert main(["init", str(tmp_path / "p"), *asked]) == 0
    out = capsys.readouterr().out
    assert "supposed, not measured" in out
    assert "WARNING: the stub cannot read these rows; name a real receiver" in out
    assert main(["check", str(tmp_path / "p" / "gate_specs.yaml")]) == 0
    # a receiver that was named leaves out what it cannot read
    assert main(["init", str(tmp_path / "q"), *asked, "--receiver", "stub"]) == 4
    error = capsys.readouterr().err
    assert "0 rows can serve" in error
    assert "left out: 400 receiver, the first: " in error


def only(change: Callable[[Rows], Rows]) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        return ["--from", str(written(folder / "t.csv", change(trips()))), "--map", MAP]

    return arguments


def mapped(text: str, *more: str) -> Callable[[Path], list[str]]:
    return lambda folder: [*only(lambda rows: rows)(folder)[:2], "--map", text, *more]


def content(text: str, name: str = "t.csv") -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        (folder / name).write_text(text)
        return ["--from", str(folder / name), "--map", MAP]

    return arguments


WRONG: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "no such file": (lambda _: ["--from", "nowhere.csv"], "nowhere.csv: there is no such file"),
    "a folder": (lambda folder: ["--from", str(folder)], "this is no file"),
    "no data set's name": (lambda _: ["--from", "hf:a b"], "names no data set; allowed: "),
    "a map without rows": (lambda _: ["--map", MAP], "allowed: beside --from"),
    "a receiver without rows": (lambda _: ["--receiver", "stub"], "allowed: beside --from"),
    "a map that is none": (mapped("text"), "--map: 'text' is no FIELD=COLUMN; allowed: "),
    "a column for nothing": (mapped("message=text,answer="), "'answer=' is no FIELD=COLUMN"),
    "a field twice": (mapped(f"{MAP},answer=nr"), "--map: 'answer' stands twice"),
    "a field that is none": (
        mapped(f"{MAP},grup=nr"),
        "unknown field 'grup'; did you mean 'group'?",
    ),
    "no answer": (mapped("message=text,question=asked"), "no column is named for answer"),
    "no question": (mapped("message=text,answer=city"), "no column is named for question"),
    "a column that is not there": (
        mapped("message=test,question=asked,answer=city"),
        "--map: message=test: ",
    ),
    "a context without a mark": (
        mapped(MAP, "--context", "Where?"),
        "allowed: a text with {message} and {question}, each once",
    ),
    "one option": (mapped(MAP, "--options", "1"), "--options 1: allowed: 2 to 16"),
    "too large an n": (mapped(MAP, "--n", "4000"), "--n 4000: allowed: 40 to 1"),
    "a seed below 0": (mapped(MAP, "--seed", "-1"), "--seed -1: allowed: 0 to "),
    "no such receiver": (
        mapped(MAP, "--receiver", "./nowhere"),
        "receiver ./nowhere: no folder with a config.json is there",
    ),
    "too few rows": (only(lambda rows: rows[:60]), "allowed: 40 test episodes with donors or more"),
    "no rows": (content("nr,text,asked,city\n"), "it holds no row"),
    "a column twice": (content("nr,text,text,city\n1,2,3,4\n"), "the column 'text' stands twice"),
    "no answer in any row": (
        only(lambda rows: [{**row, "city": " "} for row in rows[:3]]),
        "3 of 3 rows cannot be read",
    ),
    "the same answer everywhere": (
        only(lambda rows: [{**row, "city": "Oslo"} for row in rows]),
        "0 rows can serve",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_had_is_said_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    arguments, told = WRONG[what]
    assert main(["init", str(tmp_path / "p"), *arguments(tmp_path)]) == 4
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) <= 7
    assert not (tmp_path / "p").exists()


def test_what_is_in_the_way_is_named_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pytest.ini").write_text("mine")
    assert main(["init", str(tmp_path), "--from", "nowhere.csv"]) == 4
    assert "already there: pytest.ini" in capsys.readouterr().err
