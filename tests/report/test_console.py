"""Progress: what, how far, how long still; in lines where no bar can be, and no line twice."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from lpca.codec.training import Progress
from lpca.report import console
from lpca.report.console import StderrConsole


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set forward."""
    now = [1000.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def lines(capsys):
    text = capsys.readouterr().err
    assert "\r" not in text
    return text.splitlines()


def test_lines_come_now_and_then_and_say_what_how_far_and_how_long(clock, capsys):
    shown = StderrConsole()
    for step in range(1, 121):
        shown.training(Progress(step, 0.5, 1.25 if step % 10 == 0 else None), 120, "codec k=4")
        clock[0] += 1.0
    assert lines(capsys) == [
        "lpca: training codec k=4: 1 of 120 steps, 0 %, loss 0.500",
        *(
            f"lpca: training codec k=4: {step} of 120 steps, {100 * step // 120} %, "
            f"{left} left, loss 0.500, gap +1.25 nats"
            for step, left in [(21, "01:39"), (41, "01:19"), (61, "00:59"), (81, "00:39")]
        ),
        "lpca: training codec k=4: 101 of 120 steps, 84 %, 00:19 left, loss 0.500, gap +1.25 nats",
        "lpca: training codec k=4: 120 steps in 01:59, loss 0.500, gap +1.25 nats",
    ]


def test_what_the_cache_held_does_not_hurry_the_estimate(clock, capsys):
    report = StderrConsole().evaluating("main k=4")
    report(900, 1000)
    clock[0] += 30.0
    report(930, 1000)
    clock[0] += 70.0
    report(1000, 1000)
    assert lines(capsys) == [
        "lpca: evaluating main k=4: 900 of 1000 outcomes, 90 %",
        "lpca: evaluating main k=4: 930 of 1000 outcomes, 93 %, 1/s, 01:10 left",
        "lpca: evaluating main k=4: 1000 outcomes in 01:40 (900 were there from before)",
    ]


def test_work_that_stalls_says_so_ever_more_seldom(clock, capsys):
    shown = StderrConsole()
    report = shown.evaluating("main")
    for done in (0, 10, 20):
        report(done, 100)
        clock[0] += 19.0
    for _ in range(41):
        shown.tell_stall()
        clock[0] += 10.0
    report(30, 100)
    shown.tell_stall()
    shown.close()
    said = [line for line in lines(capsys) if "nothing new" in line]
    assert said == [
        f"lpca: evaluating main: nothing new for {silent}, at 20 of 100 outcomes"
        for silent in ("01:39", "03:19", "06:39")
    ]


def test_a_training_that_goes_on_says_what_was_there(clock, capsys):
    shown = StderrConsole()
    for step in (41, 42, 43):
        shown.training(Progress(step, 0.5, None), 43)
        clock[0] += 1.0
    assert lines(capsys)[-1] == (
        "lpca: training codec: 43 steps in 00:02 (40 were there from before), loss 0.500"
    )


def test_what_is_there_already_is_not_evaluated_again(capsys):
    StderrConsole().evaluating("base")(120, 120)
    assert lines(capsys) == ["lpca: evaluating base: all 120 outcomes are there from before"]


def test_a_worker_says_which_it_is_and_makes_room_first(clock, capsys):
    made = []
    shown = StderrConsole("gw1", lambda: made.append(True))
    shown.tell("loading receiver stub")
    shown.evaluating("base")(0, 10)
    assert lines(capsys) == [
        "lpca gw1: loading receiver stub",
        "lpca gw1: evaluating base: 0 of 10 outcomes, 0 %",
    ]
    assert len(made) == 2


def test_work_that_broke_off_is_forgotten(clock, capsys):
    with StderrConsole() as shown:
        shown.evaluating("base")(10, 100)
    shown.evaluating("main")(0, 100)
    clock[0] += 25.0
    shown.evaluating("main")(50, 100)
    assert lines(capsys)[2:] == ["lpca: evaluating main: 50 of 100 outcomes, 50 %, 2/s, 00:25 left"]


def test_a_notebook_has_its_own_bar_where_it_can_show_one(monkeypatch, capsys):
    made = []

    class Bar:
        n = 0

        def __init__(self, **how):
            made.append(how["total"])

        def set_postfix_str(self, *_, **__):
            pass

        def update(self, n):
            self.n += n

        def close(self):
            made.append("closed")

    monkeypatch.delenv("CI", raising=False)
    notebook = ModuleType("tqdm.notebook")
    notebook.tqdm = Bar
    for name, module in {"ipykernel": ModuleType("ipykernel"), "tqdm.notebook": notebook}.items():
        monkeypatch.setitem(sys.modules, name, module)
    for widgets, expected in ((None, []), (ModuleType("ipywidgets"), [9, "closed"])):
        monkeypatch.setitem(sys.modules, "ipywidgets", widgets)
        with StderrConsole() as shown:
            report = shown.evaluating("main k=4")
            report(3, 9)
            report(9, 9)
        assert made == expected
        assert ("3 of 9 outcomes" in capsys.readouterr().err) == (widgets is None)
