"""A forked command cannot be told from a started one, but by how soon it has torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import warm

TELL = "import os, sys; print(sys.argv, os.getcwd(), os.environ['ONE'], __name__, sys.path[0])"
PROGRAMS = {
    "what it is told": ["-c", TELL, "--x", "é"],
    "a module": ["-m", "told", "--x"],
    "a script": ["told.py", "--x"],
    "pytest": ["-mpytest", "--version"],
    "exit code": ["-c", "raise SystemExit(300)"],
    "no exit code": ["-c", "import sys; sys.exit()"],
    "a last word": ["-c", "import sys; sys.exit('bye')"],
    "an error": ["-c", "print('before'); raise ValueError('é')"],
    "an interrupt": ["-c", "raise KeyboardInterrupt"],
    "killed": ["-c", "import os; os.kill(os.getpid(), 9)"],
    "at the end": ["-c", "import atexit; atexit.register(print, 'last')"],
    "a thread": ["-c", "import threading as t; t.Timer(0.1, print, ['late']).start()"],
    "what it reads": ["-c", "print(input() + '!')"],
    "no bytecode": ["-B", "-c", "import sys; print(sys.dont_write_bytecode)"],
    "both streams": ["-u", "-B", "-c", "import sys; print('out'); print('err', file=sys.stderr)"],
    "a child of its own": [
        "-c",
        "import subprocess, sys; "
        "print(subprocess.run([sys.executable, '-c', 'raise SystemExit(3)']).returncode)",
    ],
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_it_does_what_a_started_one_does(tmp_path: Path, what: str) -> None:
    (tmp_path / "told.py").write_text(TELL.replace("os.getcwd()", "'here'"))
    how = {
        "cwd": tmp_path,
        "env": {**os.environ, "ONE": "é"},
        "input": "line\n",
        "capture_output": True,
        "text": True,
    }
    started, forked = (
        run([sys.executable, *PROGRAMS[what]], **how) for run in (subprocess.run, warm.run)
    )
    assert forked.returncode == started.returncode
    assert forked.stdout == started.stdout
    assert forked.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]


def test_it_has_torch_at_once_and_lpca_of_its_own_path(tmp_path: Path) -> None:
    code = "import sys; print('torch' in sys.modules); import lpca; print(lpca.__file__)"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "lpca").mkdir()
    (tmp_path / "lpca" / "__init__.py").touch()
    for root in (warm.ROOT, tmp_path):
        env = {**os.environ, "PYTHONPATH": str(root)}
        command = [sys.executable, "-c", code]
        done = warm.run(command, cwd=elsewhere, env=env, capture_output=True, text=True)
        assert done.stdout.splitlines() == ["True", str(root / "lpca" / "__init__.py")]


def test_options_of_the_streams_and_the_bytecode_are_no_reason_to_start() -> None:
    code = "import sys; print('torch' in sys.modules, 'lpca.pytest_plugin' in sys.modules)"
    for options in (["-B"], ["-u", "-B"]):
        done = warm.run([sys.executable, *options, "-c", code], capture_output=True, text=True)
        assert done.stdout == "True False\n", "what pytest rewrites it loads itself"


def test_it_has_the_threads_that_are_asked_for() -> None:
    code = "import torch; print(torch.get_num_threads()); torch.ones(999, 999) @ torch.ones(999)"
    for threads in ("1", "2"):
        env = {**os.environ, warm.THREADS: threads}
        done = warm.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, f"{threads}\n")


@pytest.mark.parametrize(("options", "env"), [(["-I"], {}), ([], {"PYTHONHASHSEED": "7"})])
def test_what_a_fork_cannot_honour_is_started(options: list[str], env: dict[str, str]) -> None:
    code = "import sys; print('torch' in sys.modules)"
    command, env = [sys.executable, *options, "-c", code], {**os.environ, **env}
    assert warm.run(command, env=env, capture_output=True, text=True).stdout == "False\n"


def test_what_loading_adds_to_the_environment_is_no_reason_to_start() -> None:
    import sklearn  # noqa: F401 - sets variables of OpenMP's

    code = "import sys; print('torch' in sys.modules)"
    assert any(name.startswith("KMP_") for name in os.environ)
    done = warm.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True\n"


def test_it_can_be_waited_for_and_signalled_in_a_session_of_its_own() -> None:
    code = "import time; print('up', flush=True); time.sleep(60)"
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        process = warm.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout.readline() == "up\n"
        assert os.getsid(process.pid) == process.pid
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        process.send_signal(sign)
        assert process.wait(30) == -sign


def test_a_shell_takes_it_for_python() -> None:
    python = f"{sys.executable} -S -E {warm.__file__}"
    env = {**os.environ, warm.ADDRESS: warm.address()}
    script = f"echo hello | {python} -c 'print(input()); raise SystemExit(5)'; echo $?"
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True)
    assert done.stdout == "hello\n5\n"
