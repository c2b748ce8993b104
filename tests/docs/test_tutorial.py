"""The tutorial, run as it stands, in an environment where lpca is installed from its wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import pairwise

import pytest
from installed import ROOT, build, install, plain_environment

PAGE = ROOT / "docs" / "tutorial.md"
FENCE = re.compile(
    r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.M | re.S
)
INSTALLED_ALREADY = (
    "python3 -m venv .venv",
    ". .venv/bin/activate",
    "python -m pip install ../lpca",
)
"""The page's first block, which the test does in its own way."""
MORE = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block of the page."""

    line: int
    kind: str
    title: str | None
    text: str


def blocks(page: str) -> list[Block]:
    """Every fenced block, in order."""
    return [
        Block(page.count("\n", 0, one.start()) + 1, one["kind"], one["title"], one["text"])
        for one in FENCE.finditer(page)
    ]


def first_difference(shown: str, printed: str) -> str | None:
    """The first shown line that was not printed in its place; None where all were.

    A line `...` stands for any lines, `...` at a line's end for any rest of it.
    """
    lines = [line.rstrip() for line in printed.splitlines()]
    at, anywhere = 0, False
    for wanted in (line.rstrip() for line in shown.splitlines()):
        if wanted == MORE:
            anywhere = True
            continue
        places = range(at, len(lines) if anywhere else min(at + 1, len(lines)))
        found = next((place for place in places if _is(wanted, lines[place])), None)
        if found is None:
            return wanted
        at, anywhere = found + 1, False
    return None if anywhere or at == len(lines) else f"(the end; printed is: {lines[at]})"


def _is(wanted: str, line: str) -> bool:
    return line.startswith(wanted[: -len(MORE)]) if wanted.endswith(MORE) else line == wanted


@pytest.mark.parametrize(
    ("shown", "printed", "difference"),
    [
        ("a\nb", "a\nb\n", None),
        ("a\n...\nd", "a\nb\nc\nd", None),
        ("...\nb\n...", "a\nb\nc", None),
        ("a x...", "a xyz", None),
        ("b", "a\nb", "b"),
        ("a\nc", "a\nb\nc", "c"),
        ("a", "a\nb", "(the end; printed is: b)"),
        ("...\nb\na", "a\nb", "a"),
        ("a\nb", "a", "b"),
    ],
)
def test_what_is_shown_is_compared_line_by_line(shown, printed, difference):
    assert first_difference(shown, printed) == difference


def test_every_command_is_followed_by_what_it_prints():
    page = PAGE.read_text(encoding="utf-8")
    install, *steps = blocks(page)
    assert install.text.splitlines() == list(INSTALLED_ALREADY)
    assert {block.kind for block in steps} == {"bash", "text", "python", "json"}
    for block, after in zip(steps, [*steps[1:], install], strict=True):
        assert (block.kind == "bash") is (after.kind == "text"), block.line
    assert page.count("```") == 2 * (1 + len(steps))


@pytest.mark.slow(seconds=30)
def test_the_tutorial_runs_as_it_stands(tmp_path):
    bin_folder = install(build("wheel", tmp_path / "wheel"), tmp_path / "venv")
    here = tmp_path / "empty"
    here.mkdir()
    environment = plain_environment(bin_folder, COLUMNS="80", LPCA_CACHE=str(tmp_path / "cache"))
    _, *steps = blocks(PAGE.read_text(encoding="utf-8"))
    for block, after in pairwise(steps):
        if block.title:
            (here / block.title).write_text(block.text, encoding="utf-8")
        if block.kind != "bash":
            continue
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", block.text],
            cwd=here,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"line {block.line}:\n{done.stdout[-4000:]}"
        difference = first_difference(after.text, done.stdout)
        assert difference is None, f"line {after.line}: {difference}\n{done.stdout[-6000:]}"
