"""A run answers for its exit code to a process that runs none of its code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import lives

import lpca

ROOT = str(Path(lpca.__file__).parents[1])
ASKED = "link = supervise.take_link(); link.say(asked=['gate']); "
NOT_MEASURED = 8
"""What these runs come to where they say what they were asked and end before it is done."""


@pytest.fixture
def started(tmp_path):
    """Starts a supervised program, and what `set_up` does before in the supervisor."""
    running = []

    def start(program, set_up="", limit=None, **how):
        path = tmp_path / "program.py"
        path.write_text(f"import os, signal, sys, time\nfrom lpca.base import supervise\n{program}")
        code = (
            f"import sys; from lpca.base import supervise; {set_up}\n"
            f"end = lambda ended, folder: ended.code({NOT_MEASURED})\n"
            f"sys.exit(supervise.supervise({str(path)!r}, ['one', 'two'], None, {limit}, then=end))"
        )
        run = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": ROOT},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **how,
        )
        running.append(run)
        return run

    yield start
    for run in running:
        run.kill()
        run.wait()


@pytest.mark.parametrize(
    ("program", "code", "said"),
    [
        ("link = supervise.take_link(); link.say(finished=0)", 0, ""),
        ("link = supervise.take_link(); link.say(finished=7)", 7, ""),
        ("os._exit(0)", NOT_MEASURED, "ended with exit status 0 before it was done"),
        (ASKED + "os._exit(0)", NOT_MEASURED, "ended with exit status 0 before it was done"),
        (ASKED + "os._exit(1)", NOT_MEASURED, "ended with exit status 1 before it was done"),
        (ASKED + "sys.exit(4)", 4, ""),
        ("sys.exit(5)", 5, ""),
        (ASKED + "link.say(finished=1); os._exit(0)", 1, ""),
        (ASKED + "link.say(finished=1); link.say(finished=0)", 1, ""),
        (ASKED + "link.say(finished=0); os._exit(9)", 0, ""),
        (ASKED + "os.kill(os.getpid(), signal.SIGSEGV)", 3, "ended by SIGSEGV before it was done"),
        (ASKED + "link._connection.send_bytes(b'{'); os._exit(0)", NOT_MEASURED, "exit status 0"),
    ],
)
def test_a_status_counts_where_the_run_has_said_that_it_ended(started, program, code, said):
    run = started(program)
    _, told = run.communicate(timeout=30)
    assert run.returncode == code
    assert said in told
    assert len(told.splitlines()) == bool(said), told


def test_what_was_asked_cannot_be_taken_back(tmp_path, started):
    show = "supervise.Ended.code = lambda self, code: print(self.said['asked']) or 0"
    run = started(ASKED + "link.say(asked=[]); link.say(finished=0)", show)
    assert run.communicate(timeout=30)[0] == "['gate']\n"


def test_the_program_has_its_arguments_and_the_users_streams(started):
    run = started("print(sys.argv[1:], input()); supervise.take_link().say(finished=0)")
    assert run.communicate("typed\n", timeout=30)[0] == "['one', 'two'] typed\n"


@pytest.mark.parametrize("to_all", [False, True])
def test_an_interrupt_is_met_once(started, to_all):
    run = started(
        ASKED + "\nfor _ in range(2):\n"
        "    try:\n        print('at work', flush=True); time.sleep(0.6)\n"
        "    except KeyboardInterrupt:\n        print('interrupted', flush=True)\n"
        "link.say(finished=2)",
        start_new_session=True,
    )
    assert run.stdout.readline() == "at work\n"
    (os.killpg if to_all else os.kill)(run.pid, signal.SIGINT)
    out, told = run.communicate(timeout=30)
    assert (run.returncode, out, told) == (2, "interrupted\nat work\n", "")


def test_who_ends_the_supervisor_ends_the_run(started):
    run = started(ASKED + "print(os.getpid(), flush=True); time.sleep(60)")
    child = int(run.stdout.readline())
    run.terminate()
    assert run.wait(timeout=30) == -signal.SIGTERM
    assert not lives(child)


def test_a_run_ends_with_its_supervisor(started):
    run = started(ASKED + "print(os.getpid(), flush=True); time.sleep(60)")
    child = int(run.stdout.readline())
    run.kill()
    run.wait()
    until = time.monotonic() + 10
    while lives(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not lives(child)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux alone")
def test_processes_that_a_run_leaves_are_ended(started):
    run = started(
        ASKED + "pids = []\nfor _ in range(63):\n"
        "    pid = os.fork()\n"
        "    if not pid:\n        os.setsid(); time.sleep(60); os._exit(0)\n"
        "    pids.append(pid)\n"
        "print(*pids, flush=True); link.say(finished=0)",
        "supervise.LEAVING = 0.2",
    )
    out, told = run.communicate(timeout=30)
    assert run.returncode == 0
    assert told == "lpca: 63 processes that the run had left running: ended\n"
    assert not any(map(lives, map(int, out.split())))


def test_a_run_that_does_not_end_after_its_end_is_ended(started):
    set_up = "supervise.ENDING = 0.3"
    run = started("supervise.take_link().say(finished=6); time.sleep(60)", set_up)
    run.communicate(timeout=30)
    assert run.returncode == 6


def test_a_limit_ends_a_run_that_was_asked_and_names_what_did_not_return(started):
    show = (
        "supervise.SLOW = 0.2; own = supervise.Ended.code; "
        "supervise.Ended.code = lambda self, code: print(self.late) or own(self, code)"
    )
    hang = "\nwith supervise.calling('codec c:make: encode'): time.sleep(60)"
    run = started(ASKED + hang, show, limit=1.0)
    out, told = run.communicate(timeout=30)
    assert run.returncode == NOT_MEASURED
    assert out == "codec c:make: encode had not returned\n"
    assert told == "lpca: codec c:make: encode has not returned for 1 minute\n"


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "SystemExit(0)", "GeneratorExit"])
def test_an_interrupt_that_code_raises_is_none(started, raised):
    run = started(
        f"try:\n    raise {raised}\nexcept BaseException as error:\n"
        "    print(supervise.is_interrupt(error))\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT); time.sleep(5)\n"
        "except BaseException as error:\n    print(supervise.is_interrupt(error))\n"
        "supervise.take_link().say(finished=0)"
    )
    assert run.communicate(timeout=30)[0] == "False\nTrue\n"
