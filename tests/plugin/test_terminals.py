"""Runs as terminals, pipes and CI logs show them."""

from __future__ import annotations

import os
import re
import sys

import pytest
import warm
from gate_project import QUICK

pty = pytest.importorskip("pty", reason="needs pseudo-terminals")
import fcntl  # noqa: E402
import struct  # noqa: E402
import termios  # noqa: E402

COMMAND = [sys.executable, "-m", "pytest", "gates", "--receiver", "stub", "-m", "base", *QUICK]


def on_terminal(project, columns, *arguments, **environment):
    """What a run writes to a terminal so many columns wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    ours_alone = ("CI", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "PY_COLORS")
    kept = {k: v for k, v in os.environ.items() if k not in ours_alone}
    env = {**kept, "TERM": "xterm", "LINES": "40", **environment}
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    run = warm.Popen([*COMMAND, *arguments], cwd=project.path, env=env, **streams)
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:  # Linux ends a terminal that nobody holds like this
        pass
    os.close(ours)
    assert run.wait() == 0, seen.decode()
    return seen.decode().replace("\r\n", "\n")


def test_a_terminal_gets_a_bar_and_colours(project, tmp_path):
    text = on_terminal(project, 80, LPCA_CACHE=str(tmp_path / "fresh"))
    assert re.search(r"\rlpca: evaluating base +0 % \|.*0/120", text)
    assert "\rlpca: evaluating base: 120 outcomes in 00:0" in text
    assert "\ngates/test_criteria.py \nlpca: loading receiver stub\n" in text
    assert re.search(r"\ngates/test_criteria.py \x1b\[32m\.", text), "pytest's line goes on"
    assert "base: \x1b[32m\x1b[1mPASS\x1b[0m: its criterion holds" in text


def test_a_narrow_terminal_without_colours(project):
    text = on_terminal(project, 40, "-q", NO_COLOR="1", PYTHONIOENCODING="ascii")
    assert "\x1b[3" not in text
    gates = text.partition(" gates ")[2].split("\n", 1)[1].partition("passed")[0].splitlines()
    assert max(map(len, gates[:-1])) <= 40
    assert "base: PASS: its criterion holds" in gates


def test_a_log_gets_lines(project):
    result = project.run("-m", "base", "-n", "2", "--color=yes", in_process=False)
    assert result.ret == 0
    told = result.stderr.str()
    assert "\r" not in told
    assert re.search(r"^lpca gw\d: checking the validity of base$", told, re.MULTILINE)
    assert "base: \x1b[32m\x1b[1mPASS\x1b[0m: its criterion holds" in result.stdout.str()
