"""The process that a user starts as `pytest`: it runs no test, and answers for the exit code.

It starts the same command in a child. A child's 0 becomes this process's only where the child has
come to its end and every gate that it was asked for is a PASS, as this process reads it once more
from the evidence of this run. A program that calls `pytest.main` itself runs codecs in its own
process: what it makes of the exit code, and what a codec makes of it, is that program's.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lpca.base import supervise
from lpca.base.arguments import parse_seeds
from lpca.base.errors import ExitCode, UserError, worst
from lpca.evidence.model import Evidence
from lpca.gate.plan import GateKey, evidence_path, label_of, sound_spec
from lpca.gatespec.model import Spec
from lpca.judge.stored import read_stored
from lpca.pytest_plugin.verdicts import VerdictReporter
from lpca.stats.verdicts import Verdict

LINK = pytest.StashKey["supervise.Link | None"]()
SHOWS_ONLY = ("help", "version", "markers", "cacheshow")
"""Options of pytest's that show something and collect nothing."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Be the supervisor of a run that the user started as a command; None in any other."""
    option, link, program = config.option, supervise.take_link(), _program(config)
    config.stash[LINK] = link
    if link is not None or program is None or any(getattr(option, o, None) for o in SHOWS_ONLY):
        if link is None and option.time_limit is not None:
            raise pytest.UsageError(
                "--time-limit: kept by the process that starts a run; allowed: pytest as a command"
            )
        return None
    capture: Any = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        # the child has the user's streams, the standard input for --pdb among them
        capture.stop_global_capturing()
    if sys.stdout is None:
        supervise.say("standard output is closed: nothing can be shown")
        sys.stdout = io.StringIO()  # pytest flushes it when all is done
        return ExitCode.NOT_MEASURED
    run, limit = uuid.uuid4().hex, option.time_limit
    specs: list[Spec] = []

    def load() -> None:
        # while the child starts, before any code of the user's is run
        try:
            specs.append(sound_spec(spec_path(config)))
        except (UserError, OSError):
            return  # the child says what is wrong with it

    def decide(ended: supervise.Ended, folder: Path) -> int:
        if ended.late is not None:
            what = f": {ended.late}" if ended.late else ""
            supervise.say(f"NOT MEASURED: the run did not end within {limit:g} minutes{what}")
        code = ended.code(ExitCode.NOT_MEASURED)
        if code != ExitCode.PASS or option.collectonly:
            return code
        return _confirmed(config, ended.said.get("asked"), specs, folder, run)

    return supervise.supervise(
        program,
        [str(argument) for argument in config.invocation_params.args],
        {"run": run},
        None if limit is None else limit * 60,
        load,
        decide,
    )


def spec_path(config: pytest.Config) -> str:
    """Where the run's spec stands, as its places are shown: from the folder it was started in."""
    default = os.path.relpath(config.rootpath / "gate_specs.yaml", config.invocation_params.dir)
    return str(config.getoption("--gate-spec") or default)


def _program(config: pytest.Config) -> str | None:
    """How the user has started pytest; None where a program, or a worker, has called it."""
    given = config.invocation_params
    if hasattr(config, "workerinput") or given.plugins or [*given.args] != sys.argv[1:]:
        return None
    main: Any = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return "-mpytest" if spec.name == "pytest.__main__" else None
    script = Path(sys.argv[0])
    return str(script.resolve()) if script.is_file() and _is_console() else None


def _is_console() -> bool:
    """Whether pytest's own entry point has called, whatever the script is named."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not pytest.console_main.__code__:
        frame = frame.f_back
    return frame is not None


class _Confirmed(VerdictReporter):
    """Verdicts as they are read once more, from what the run has kept for itself alone."""

    def __init__(
        self, spec: Spec, folder: Path, run: str, asked: Sequence[GateKey], seeds: Sequence[int]
    ) -> None:
        super().__init__(spec, folder, run, seeds=seeds)
        self._keys, self.why = list(dict.fromkeys(asked)), dict[GateKey, str]()

    @property
    def asked(self) -> list[GateKey]:
        """All that the run was asked for, whether it has got to them or not."""
        return self._keys

    def evidence_of(self, key: GateKey) -> Evidence | None:
        """Evidence whose verdict its outcomes come to by this process's spec; else None."""
        path = evidence_path(self.evidence, *key)
        if not path.is_file():
            self.why[key] = "its evidence was not measured in this run"
            return None
        try:
            found = read_stored(path, self.spec, present=True)
        except UserError as error:
            self.why[key] = str(error)
            return None
        if found.run != self.run or (found.gate, found.k) != (key.gate, key.k):
            self.why[key] = "its evidence is not of this run"
            return None
        return found


def _confirmed(
    config: pytest.Config, asked: Any, specs: Sequence[Spec], folder: Path, run: str
) -> int:
    """0 where every gate asked for is a PASS; else the code of what is read, and why."""
    try:
        keys = [GateKey(str(name), k, seed) for name, k, seed in asked or ()]
    except (TypeError, ValueError):
        keys, asked = [], None
    if asked is None:
        supervise.say("the run ended without saying which gates it was asked for")
        return ExitCode.NOT_MEASURED
    if not keys:
        return ExitCode.PASS
    if not specs or any(key.gate not in specs[0].gates for key in keys):
        supervise.say(f"NOT MEASURED: {spec_path(config)} could not be read by the supervisor")
        return ExitCode.NOT_MEASURED
    seeds = config.option.train_seeds
    reader = _Confirmed(specs[0], folder, run, keys, parse_seeds(seeds) if seeds else ())
    code = worst(reader.deciding_codes())
    if code != ExitCode.PASS:
        for gate in reader.verdicts():
            if gate.verdict is not Verdict.PASS:
                reason = reader.why.get(gate.key, gate.note)
                told = f"{label_of(*gate.key)}: {gate.verdict}" + (f": {reason}" if reason else "")
                supervise.say(f"{told}; the run ended with 0, which does not count")
    return code
