"""Run an expression that a model wrote: never in this process, but in a child that can do nothing.

Three walls, each of which would do: text that cannot be an expression of the language is refused
unread; the child walks the syntax tree of what is left and knows no node that could do harm; and
the child has given away its time, memory, files, processes and network before it reads anything.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Event, Timer
from types import MappingProxyType

from lpca.base.errors import RunError
from lpca.tasks import sandbox_child

CHILD = Path(sandbox_child.__file__)
MAX_LENGTH = 200
"""Characters of an expression."""
MAX_OUTPUT = 4096
"""Bytes that are read of what the child says."""
SECONDS = 60.0
"""How long the child may take on the clock: so long only where the machine is too busy to run it.

What an answer costs is bounded by the child's processor time, which is the same on a busy machine.
"""
_WORDS = re.compile(r"[a-z]+")
_LANGUAGE = re.compile(r"[0-9a-z+\-*/%(), ]+")
NAMES = frozenset({"x", "max", "min", "abs"})


def run_expression(text: str, inputs: Sequence[int]) -> Mapping[int, int]:
    """Return an expression's values by input x, without those at which it fails.

    Nothing is returned for what is no expression of `x`, whole numbers, + - * // %, max, min, abs.
    """
    text = text.strip()
    if len(text) > MAX_LENGTH or not _LANGUAGE.fullmatch(text):
        return {}
    if not NAMES.issuperset(_WORDS.findall(text)):
        return {}
    return _values(text, tuple(inputs))


@lru_cache(maxsize=20_000)
def _values(text: str, inputs: tuple[int, ...]) -> Mapping[int, int]:
    said = run_child(CHILD.read_text(encoding="utf-8"), json.dumps([text, list(inputs)]))
    try:
        values = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(values, list) or len(values) != len(inputs):
        return {}
    pairs = zip(inputs, values, strict=True)
    return MappingProxyType({x: y for x, y in pairs if type(y) is int})


def run_child(code: str, text: str) -> str:
    """Run Python code in a child process with a text as its input; return what it prints.

    The child is Python in isolated mode, without site packages, environment, or inherited files;
    `lpca.tasks.sandbox_child` takes away the rest by itself. Of its output MAX_OUTPUT
    bytes are read.

    Raises RunError where no child can be started, or it outlives SECONDS and is killed: that says
    nothing of the answer, so it may not count as a wrong one.
    """
    command = [sys.executable, "-I", "-S", "-B", "-c", code]
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            close_fds=True,
            start_new_session=True,
        )
    except OSError as error:
        raise RunError(f"answers cannot be run: no child process starts: {error}") from error
    assert child.stdin is not None
    assert child.stdout is not None
    late = Event()

    def stop() -> None:
        late.set()
        child.kill()

    alarm = Timer(SECONDS, stop)
    alarm.start()
    try:
        with suppress(BrokenPipeError), child.stdin:
            child.stdin.write(text.encode())
        said = child.stdout.read(MAX_OUTPUT).decode("utf-8", "replace")
    finally:
        alarm.cancel()
        child.kill()
        child.wait()
        child.stdout.close()
    if late.is_set():
        raise RunError(f"an answer could not be run: its process took more than {SECONDS:g} s")
    return said
