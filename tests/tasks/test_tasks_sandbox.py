"""Hostile answers: each is refused or stopped, gets 0, and harms nothing."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

from lpca.base.errors import RunError
from lpca.tasks import sandbox, sandbox_child
from lpca.tasks.kinds import s3 as programs
from lpca.tasks.sandbox import CHILD, MAX_OUTPUT, run_child, run_expression

TOLD, OWN = ("f(0)=0", "f(1)=1"), ("f(2)=2", "f(3)=3")
HOSTILE = (
    "import os",
    "__import__('os').system('touch harmed')",
    "open('harmed', 'w').write('x')",
    "exec('while True: pass')",
    "[x for x in range(10**9)]",
    "(lambda f: f(f))(lambda f: f(f))",
    "'a' * 10**10",
    "9**9**9**9",
    "x**x**x",
    "max(x, max)",
    "max(*x)",
    "max(x)",
    "abs(abs)",
    "x.__class__",
    "x if x else x",
    "0x" + "f" * 100,
    "1e9",
    "x\nimport os",
    "x;x",
    "x//0",
    "(" * 99 + "x" + ")" * 98,
    "abs(" * 45 + "x" + ")" * 45,
    "-" * 199 + "x",
    "999999999*" * 19 + "9",
    "x" * 100_000,
    "x\0",
    "х",  # a Cyrillic letter
)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda text: repr(text[:24]))
def test_a_hostile_answer_gets_nothing(answer: str, empty_folder: Path) -> None:
    assert programs.Programs().credit(TOLD, OWN, answer) == 0.0
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x", {0: 0, 7: 7}),
        (" ( max(x, 3)*2 + 1 ) % 5 ", {0: 2, 7: 0}),
        ("min(x,3)-abs(x-9)//2", {0: -4, 7: 2}),
        ("-x+10", {0: 10, 7: 3}),
        ("7//x", {7: 1}),
    ],
)
def test_an_honest_answer_is_run(text: str, values: dict[int, int]) -> None:
    assert run_expression(text, (0, 7)) == values


CONFINED = f"{CHILD.read_text(encoding='utf-8')}".replace("    main()\n", "    confine()\n")


def confined(attack: str) -> str:
    """What a program says that runs behind the same limits, without the language's own wall."""
    return run_child(f"import sys\n{CONFINED}{attack}\nprint('reached')\n", "")


def test_the_harness_of_these_attacks_works() -> None:
    assert confined("    pass") == "reached\n"


@pytest.mark.parametrize(
    "attack",
    {
        "files are not opened": "    open('harmed', 'w').write('x')",
        "nor read": "    open('/etc/passwd').read()",
        "no process": "    __import__('os').fork()",
        "no program": "    __import__('os').system('touch harmed')",
        "no network": "    __import__('_socket').socket()",
        "memory": "    bytearray(512 * 2**20)",
        "memory by and by": "    a = [0]\n    while True: a += a",
        "code": "    exec('1')",
        "descriptors": "    __import__('os').open('harmed', 65)",
        "recursion": "    f = lambda: f()\n    f()",
        "the limits are not lifted": "    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))",
    }.items(),
    ids=lambda pair: pair[0],
)
def test_the_child_can_do_nothing(attack: tuple[str, str], empty_folder: Path) -> None:
    assert "reached" not in confined(attack[1])
    assert list(empty_folder.iterdir()) == []


def test_an_endless_child_is_stopped_by_its_processor_time() -> None:
    code = CONFINED.replace("CPU_SECONDS = 2", "CPU_SECONDS = 1")
    assert run_child(f"{code}    while True: pass\nprint('reached')\n", "") == ""


def test_a_child_that_does_not_run_is_killed_and_counts_as_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1.0)
    started = time.monotonic()
    with pytest.raises(RunError, match="could not be run: its process took more than 1 s"):
        run_child("import time; time.sleep(600)", "")
    assert time.monotonic() - started < 60.0


def test_huge_output_is_cut_and_its_writer_stopped() -> None:
    started = time.monotonic()
    said = confined("    while True: print('x' * 1000)")
    assert len(said) <= MAX_OUTPUT
    assert time.monotonic() - started < sandbox.SECONDS


def test_output_that_is_no_list_of_numbers_counts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sayings = ("", "[1", "[1]", '{"0": 1}', '["0", true]', "[" * 5000)
    # what an expression gave is kept, so each is one that nobody else asks for
    for number, said in enumerate(sayings, start=7001):
        monkeypatch.setattr(sandbox, "run_child", lambda *_, said=said: said)
        assert run_expression(f"x+{number}", (0, 1)) == {}
    monkeypatch.setattr(sandbox, "run_child", lambda *_: "[1, 2]")
    assert run_expression("x+7000", (0, 1)) == {0: 1, 1: 2}


def test_the_language_knows_no_other_node() -> None:
    for text in ("x.real", "x[0]", "[x]", "lambda: x", "x and x", "x < 1", "f'{x}'", "True", "y"):
        tree = ast.parse(text, mode="eval").body
        with pytest.raises(ValueError, match="not in the language"):
            sandbox_child.value_at(tree, 1)
