"""Own verifiers: marked in a process of their own, each mistake one line with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lpca.tasks.own_verifier as own_verifier
from lpca.evaluation.conditions import Setting
from lpca.evaluation.evaluate import evaluate
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet, Task, TaskError, make_task
from lpca.tasks.own_verifier import VerifierError
from lpca.validity.audit import Audit
from lpca.validity.catalogue import CheckFailed
from lpca.validity.checks.outcomes import outcomes_traced

CODE = """
import os, pathlib, sys, time

asked = 0


def share(said, row):
    words = said.lower().split()
    return sum(one.lower() in words for one in row["answers"]) / len(row["answers"])


def counted(said, row):
    global asked
    asked += 1
    return asked % 2


def told(said, row):
    return float(sorted(row) == ["answers", "context", "group", "message", "options"])


def large(said, row):
    return 1.5


def nothing(said, row):
    pass


def no_number(said, row):
    return float("nan")


def faulty(said, row):
    return row["none"]


def leaving(said, row):
    sys.exit(3)


def ending(said, row):
    os._exit(3)


def waiting(said, row):
    time.sleep(60)


def greedy(said, row):
    return len(bytearray(1 << 30))


def writing(said, row):
    pathlib.Path(__file__).write_text("")


def reading(said, row):
    return float(pathlib.Path(os.environ["OUT"]).read_text())


def chatty(said, row):
    print("marking", said)
    return True


no_function = 5
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    rows = [
        {
            "message": f"{i} is in {city}.",
            "context": f"Where is {i}?{{message}}\\nIn",
            "answer": [city, f"{city}shire"],
        }
        for i in range(240)
        for city in [("Oslo", "Rome", "Lima", "Bern", "Cork")[i % 5]]
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    (tmp_path / "my_verifier.py").write_text(CODE)
    return tmp_path


def task_with(folder: Path, name: str) -> Task:
    settings = {"file": "own.jsonl", "verifier": f"my_verifier:{name}"}
    return make_task("episodes", settings, folder)


def episodes(folder: Path, name: str, n: int = 4) -> EpisodeSet:
    return task_with(folder, name).evaluation_set("test", "all", n, 1)


def test_a_row_and_what_was_said_are_marked(folder: Path) -> None:
    [first, *_] = episodes(folder, "share")
    assert first.credit(f"{first.right} it is\nOslo Rome Lima Bern Cork") == 0.5
    assert first.credit("nowhere") == 0.0
    assert episodes(folder, "told").episodes[0].credit("x") == 1.0
    assert episodes(folder, "chatty").episodes[0].credit("x") == 1.0


LINE = {
    name: CODE[: CODE.index(f"def {name}(")].count("\n") + 1
    for name in ("large", "nothing", "no_number", "faulty", "leaving", "ending", "waiting")
}


@pytest.mark.parametrize(
    ("name", "says", "below"),
    [
        ("large", "it gives 1.5 for 'Oslo'; allowed: a number from 0 to 1 ", 0),
        ("nothing", "it gives None for 'Oslo'; allowed: a number from 0 to 1 ", 0),
        ("no_number", "it gives nan for 'Oslo'; allowed: a number from 0 to 1 ", 0),
        ("faulty", "KeyError: 'none' ", 1),
        ("leaving", "SystemExit: 3 ", 1),
        ("ending", "marking: its process ended with exit status 3 ", 1),
        ("waiting", "marking: its process had not answered after 1 s ", 1),
    ],
)
def test_what_is_no_mark_is_one_line_with_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, says: str, below: int
) -> None:
    if name == "waiting":
        monkeypatch.setattr(own_verifier, "SECONDS", 1.0)
    [first, *_] = episodes(folder, name)
    with pytest.raises(VerifierError) as caught:
        first.credit("Oslo")
    place = f"(my_verifier.py:{LINE[name] + below})"
    assert str(caught.value) == f"verifier my_verifier:{name}: {says}{place}"


def test_its_rights_are_few(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VerifierError, match="Error"):
        episodes(folder, "writing").episodes[0].credit("x")
    assert (folder / "my_verifier.py").read_text() == CODE
    with pytest.raises(VerifierError, match="KeyError: 'OUT'"):
        episodes(folder, "reading").episodes[0].credit("x")
    monkeypatch.setattr(own_verifier, "MEMORY", 1 << 29)
    with pytest.raises(VerifierError, match=r"0.5 GiB of memory|MemoryError"):
        episodes(folder, "greedy").episodes[0].credit("x")


@pytest.mark.parametrize(
    ("verifier", "says"),
    [
        ("my_verifier:shar", "verifier my_verifier:shar: it has no 'shar'; did you mean 'share'?"),
        ("my_verifer:share", "there is no module my_verifer; did you mean 'my_verifier'?"),
        ("my_verifier:", "allowed: package.module:factory"),
        ("f2", "verifier is 'f2'; did you mean 'f1'? allowed: exact, f1, package.module:function"),
    ],
)
def test_what_is_not_there_is_said_before_anything_is_measured(
    folder: Path, verifier: str, says: str
) -> None:
    with pytest.raises(TaskError) as caught:
        make_task("episodes", {"file": "own.jsonl", "verifier": verifier}, folder)
    assert says in str(caught.value)
    assert caught.value.setting == "verifier"


def test_what_is_no_function_is_said(folder: Path) -> None:
    with pytest.raises(VerifierError, match="it is of type int; allowed: a function"):
        episodes(folder, "no_function").episodes[0].credit("x")


def test_episodes_are_named_by_the_verifiers_code(folder: Path) -> None:
    before = episodes(folder, "share")
    (folder / "my_verifier.py").write_text(CODE.replace("said.lower()", "said"))
    after = episodes(folder, "share")
    assert before.hash() != after.hash()
    assert before.episodes[0].problem != after.episodes[0].problem
    # and another process marks by it
    [first, *_] = after
    assert first.credit(first.right) == 0.0
    moved = folder / "elsewhere"
    moved.mkdir()
    for name in ("own.jsonl", "my_verifier.py"):
        (moved / name).write_bytes((folder / name).read_bytes())
    assert episodes(moved, "share").hash() == after.hash()


@pytest.mark.parametrize(("name", "is_sound"), [("share", True), ("counted", False)])
def test_one_that_marks_the_same_answer_otherwise_is_invalid(
    folder: Path, llama: Receiver, name: str, is_sound: bool
) -> None:
    task = task_with(folder, name)
    setting = Setting(llama, None, task.evaluation_set("test", "all", 4, 1))
    outcomes = evaluate(setting, ("p0", "p1"), folder / "kept").outcomes
    audit = Audit(setting, task, outcomes, "")
    if is_sound:
        outcomes_traced(audit)
    else:
        with pytest.raises(CheckFailed, match="is not what counts"):
            outcomes_traced(audit)
