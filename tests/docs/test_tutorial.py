"""The tutorials, run as they stand, in an environment where lpca is installed from its wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from itertools import pairwise

import pytest
from installed import ROOT, build, install, plain_environment

PAGE = ROOT / "docs" / "tutorial.md"
TUTORIALS = {"tutorial.md": 100, "packets.md": 20, "outcomes.md": 5, "exam.md": 10}
"""The pages that are run, each in an empty folder, and about how many seconds they take."""
MOST_WORDS = 700
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


def steps_of(page):
    """The page's blocks, but for the installation, which the tests do in their own way."""
    found = blocks((ROOT / "docs" / page).read_text(encoding="utf-8"))
    if page == PAGE.name:
        assert found[0].text.splitlines() == list(INSTALLED_ALREADY)
        return found[1:]
    return found


@pytest.mark.parametrize("page", TUTORIALS)
def test_every_command_is_followed_by_what_it_prints(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    steps = steps_of(page)
    assert {block.kind for block in steps} <= {"bash", "text", "python", "json", "yaml"}
    for block, after in zip(steps, [*steps[1:], steps[0]], strict=True):
        assert (block.kind == "bash") is (after.kind == "text"), block.line
    assert text.count("```") == 2 * len(blocks(text))
    assert len(text.split()) < MOST_WORDS


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    return install(build("wheel", folder / "wheel"), folder / "venv")


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=pytest.mark.slow(seconds=s)) for p, s in TUTORIALS.items()]
)
def test_a_tutorial_runs_as_it_stands(page, installed, tmp_path):
    here = tmp_path / "empty"
    here.mkdir()
    environment = plain_environment(installed, COLUMNS="80", LPCA_CACHE=str(tmp_path / "cache"))
    steps = steps_of(page)
    for block, after in pairwise([*steps, steps[0]]):
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
