"""Commands in forked children whose operations on files are counted, killed or made to fail."""

from __future__ import annotations

import atexit
import csv
import errno
import gc
import io
import json
import os
import pickle
import re
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import warm
from gate_project import ROOT

from lpca.base import files
from lpca.base.files import PART
from lpca.base.hashing import hash_data

KILL = "kill"
ERRORS = {name: getattr(errno, name) for name in ("ENOSPC", "EACCES", "EIO")}
HOWS = (KILL, *ERRORS)
WAITING = (0, 8)
"""Exit codes that a disturbed run may have beside an undisturbed one's: none was measured."""
TIMES = {"written", "seconds", "run", "command", "machine", "cached", "resumed_at_step"}
"""Keys of what differs from run to run, or follows from it."""
HASHES = {"content_sha256", "previous", "look", "heads", "sha256 of the evidence", "origin"}


@dataclass(frozen=True)
class Fault:
    """What happens at one operation: the process is killed, or the system has an error."""

    at: int
    how: str


@dataclass
class Ran:
    """What came of a command: its exit code (below 0 a signal), what it said, what it did."""

    code: int
    said: str
    operations: list[tuple[str, str]] = field(default_factory=list)


def run(
    folder: Path, command: Callable[[], int], fault: Fault | None = None, cache: Path | None = None
) -> Ran:
    """Run a command in a forked child, in a folder, with a cache beside it."""
    return finish(start(folder, command, fault, cache))


@dataclass(frozen=True)
class Child:
    """A command at work, and where it says what it does."""

    pid: int
    said: Path
    done: Path


def start(
    folder: Path, command: Callable[[], int], fault: Fault | None = None, cache: Path | None = None
) -> Child:
    """Begin as `run` does."""
    stub()
    place = folder.parent / f"{folder.name}-said-{os.urandom(4).hex()}"
    said, done = place.with_suffix(".txt"), place.with_suffix(".jsonl")
    pid = os.fork()
    if not pid:
        code = 70
        try:
            code = _be_child(folder, command, fault, cache or folder / "cache", said, done)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return Child(pid, said, done)


def finish(child: Child) -> Ran:
    """Wait for a command's end."""
    _, status = os.waitpid(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    operations = [tuple(json.loads(line)) for line in child.done.read_text().splitlines()]
    ran = Ran(code, child.said.read_text(errors="replace"), operations)
    child.said.unlink()
    child.done.unlink()
    return ran


def _be_child(
    folder: Path,
    command: Callable[[], int],
    fault: Fault | None,
    cache: Path,
    said: Path,
    done: Path,
) -> int:
    handle = os.open(said, os.O_WRONLY | os.O_CREAT, 0o644)
    for number in (1, 2):
        os.dup2(handle, number)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
    sys.stdin = io.StringIO()
    os.chdir(folder)
    os.environ["LPCA_CACHE"] = str(cache)
    log = done.open("a", buffering=1)
    count = 0

    def watch(operation: str, path: Path) -> None:
        nonlocal count
        log.write(json.dumps([operation, path.name]) + "\n")
        count += 1
        if fault is None or count - 1 != fault.at:
            return
        if fault.how == KILL:
            if operation == "write":
                path.write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        number = ERRORS[fault.how]
        raise OSError(number, os.strerror(number), str(path))

    files.watch = watch
    gc.freeze()
    receiver = stub()
    remember()
    for name in LOADERS:
        mock.patch(name, return_value=receiver).start()
    return int(command())


LOADERS = (
    "lpca.gate.runner.load_receiver",
    "lpca.lab.engines.local.load_receiver",
    "lpca.receivers.data_parallel.load_among_processes",
)


@cache
def stub() -> Any:
    """The stub, loaded once: children have what their parent has."""
    warm.load()
    import lpca.commands.cli
    from lpca.codec.checkpoint import training_code
    from lpca.codec.recipe import Recipe
    from lpca.evaluation.block import scoring_code
    from lpca.receivers.load import load_receiver
    from lpca.tasks.kinds.trip import Trip

    for name in lpca.commands.cli.COMMANDS:
        __import__(f"lpca.commands.{name}")
    # what codecs and outcomes are named by: each child would read all of lpca's sources for it
    training_code(Recipe(), Trip())
    training_code(Recipe().control(), Trip())
    scoring_code(Trip().training_batch(0, 1, 0))
    return load_receiver("stub", "cpu", "float32")


def remember() -> None:
    """Have what a model computes computed once: it touches no file, and is not what is tried."""
    from lpca.gate import measure, runner
    from lpca.lab import results
    from lpca.validity.catalogue import run_checks

    def checked(audit: Any, names: Any = None, *, reads_ledger: bool | None = None) -> Any:
        if reads_ledger is not False:
            return run_checks(audit, names, reads_ledger=reads_ledger)
        told = [audit.trained and audit.trained.hash(), audit.receiver_hash]
        return _once(
            [*told, sorted(audit.outcomes), [e.seed for e in audit.episodes]],
            lambda: run_checks(audit, names, reads_ledger=False),
        )

    def block(receiver: Any, jobs: Any, batch_size: int) -> Any:
        found = _once(
            [job.key for job in jobs],
            lambda: [list(own) for _, own in measure.STEPS.run_block(receiver, jobs, batch_size)],
        )
        return zip(jobs, found, strict=True)

    code = results.deciding_code
    mock.patch.object(
        results, "deciding_code", lambda spec, *of: _once(spec.sha256, lambda: code(spec, *of))
    ).start()
    mock.patch.object(measure, "run_checks", checked).start()
    mock.patch.object(runner, "STEPS", replace(measure.STEPS, run_block=block)).start()


def _once(told: object, make: Callable[[], Any]) -> Any:
    kept = MEMORY / hash_data(told)
    if kept.exists():
        return pickle.loads(kept.read_bytes())
    found = make()
    part = kept.with_suffix(f".{os.getpid()}")
    part.write_bytes(pickle.dumps(found))
    part.replace(kept)
    return found


MEMORY = Path(tempfile.mkdtemp(prefix="lpca-faults-"))
atexit.register(shutil.rmtree, MEMORY, ignore_errors=True)


def lpca(*arguments: str) -> Callable[[], int]:
    """`lpca ARGUMENTS`."""

    def command() -> int:
        from lpca.commands.cli import main

        return main(arguments)

    return command


def gates(*arguments: str) -> Callable[[], int]:
    """`pytest gates/ ARGUMENTS` on the stub."""

    def command() -> int:
        for name in [name for name in sys.modules if name.partition(".")[0] == "conftest"]:
            del sys.modules[name]
        plain = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:xdist", "-q")
        return int(pytest.main(["gates", "--receiver", "stub", *plain, *arguments]))

    return command


def project(folder: Path, spec: str) -> Path:
    """A folder of gates with a spec."""
    folder.mkdir(parents=True)
    (folder / "gates").mkdir()
    (folder / "conftest.py").write_text((ROOT / "conftest.py").read_text())
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    for name in ("test_leaks.py", "test_criteria.py"):
        shutil.copy(ROOT / "gates" / name, folder / "gates")
    (folder / "gate_specs.yaml").write_text(spec)
    return folder


def contents(folder: Path) -> dict[str, Any]:
    """What stands in a folder's files, by path, but for locks and what differs from run to run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.endswith((".lock", ".pyc")):
            found[_unnamed(name)] = _content(path)
    return found


def _unnamed(name: str) -> str:
    return re.sub(r"/[0-9a-f]{8}-[0-9a-f-]{27}-", "/UUID-", name)


def _content(path: Path) -> Any:
    text = path.read_bytes()
    if path.suffix == ".json":
        return without_times(json.loads(text))
    if path.suffix == ".jsonl":
        return [without_times(json.loads(line)) for line in text.splitlines()]
    if path.suffix == ".csv":
        rows = csv.DictReader(io.StringIO(text.decode()))
        return without_times([dict(row) for row in rows])
    return None if path.suffix in (".svg", ".md") and path.stem == "table" else text


def without_times(data: Any) -> Any:
    """Data without what differs from run to run."""
    if isinstance(data, list):
        return [without_times(one) for one in data]
    if not isinstance(data, dict):
        return data
    gone = TIMES | HASHES
    if {"key", "outcomes"} <= data.keys():  # of a block with its seconds
        gone |= {"sha256"}
    kept = {name: without_times(value) for name, value in data.items() if name not in gone}
    return {n: v for n, v in kept.items() if "seconds" not in n}


def leftovers(folder: Path) -> list[str]:
    """What no run may leave."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.endswith((PART, ".new.safetensors")) or path.name.startswith("tmp")
    ]


@dataclass
class Tally:
    """How many disturbed runs there were, and what came of them."""

    tried: int = 0
    found: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    by_operation: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"tried {self.tried}: {dict(self.found)}; {dict(self.by_operation)}"
        yield from self.wrong
