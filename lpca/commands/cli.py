"""The `lpca` command: finds the subcommand and turns user mistakes into one line."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from lpca.base import __version__, supervise
from lpca.base.arguments import add_loading
from lpca.base.errors import ExitCode, RequestError, UserError
from lpca.base.registry import suggestion

COMMANDS = {
    "check": "refuse unsound gate specs before any model runs",
    "schema": "print the JSON Schema of a spec file, for editors",
    "plan": "power by number of episodes, for every criterion and gate",
    "judge": "decide gates from outcomes measured elsewhere",
    "exam": "ask a gate of a system that cannot be opened, in texts, and decide it by the answers",
    "views": "write what A is to encode, for a channel that works elsewhere",
    "verify": "compute a verdict again from its evidence, and hold its hashes and ledger to it",
    "ledger": "merge ledgers of looks at test episodes that were kept apart",
    "train": "train a codec for a receiver and keep its checkpoint",
    "lab": "compare a declared grid of codecs under one gate, in one table",
    "init": "write a project of gates, to put your own codec, receiver and episodes into",
    "doctor": "what is installed, what is missing, and how to mend it",
    "record": "turn evidence into an attempt's page, and index all attempts",
    "runs": "list every run whose evidence is kept",
    "report": "write one page about runs, which needs nothing but a browser",
    "compare": "compare two attempts on the episodes they share",
    "diagnose": "look inside a codec, on validation episodes: what to mend, no verdict",
    "plot": "draw pictures of a gate's evidence",
    "sabotage": "plant every known fault in a sound run, and show what catches it",
}
"""By name what it does; `lpca.commands.NAME` has `add_arguments(parser)` and `run(arguments)`."""


class _Parser(argparse.ArgumentParser):
    """Its mistakes name what was probably meant, under the usage of the command they are in."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCode.USAGE_ERROR, f"{self.prog}: {_meant(message)}\n")

    def refuse_unknown(self, arguments: Sequence[str]) -> None:
        """End where arguments are left that no option and no place takes."""
        if not arguments:
            return
        from difflib import get_close_matches

        known = [name for action in self._actions for name in action.option_strings]
        close = get_close_matches(arguments[0].partition("=")[0], known, n=1, cutoff=0.75)
        hint = f"; did you mean {close[0]}?" if close else ""
        self.error(f"unrecognized arguments: {' '.join(arguments)[:200]}{hint}")


_CHOICE = re.compile(r"(?P<lead>.*invalid choice: '(?P<word>[^']*)') \(choose from (?P<names>.*)\)")
KEPT: Mapping[str, str] = {
    "train": "what was trained is kept; the same command goes on from its last snapshot",
    "diagnose": "what was measured is kept; the same command goes on from there",
    "sabotage": "nothing of it is kept; --only plants one fault alone",
}
"""What stands after a Ctrl-C, by command; of the others nothing was written half."""


def _meant(message: str) -> str:
    """argparse's message of a wrong choice with the nearest one first."""
    found = _CHOICE.fullmatch(message)
    if found is None:
        return message
    names = [name.strip(" '") for name in found["names"].split(",")]
    return f"{found['lead']}; {suggestion(found['word'], names)}"


RUNS_USER_CODE: Mapping[str, str] = {"diagnose": "codec"}
"""Commands that run code of the user's where this option is given: in a child, see `supervise`."""
LEFT_EARLY = 128 + 13
"""What a shell shows of a program whose reader left: it was ended by SIGPIPE."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code is one of `ExitCode`, or 141 where its reader left early.

    As a program of its own, without `argv`, a command that runs code of the user's is not believed
    before it has ended: its code could end the process with any status.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:
        print("standard output is closed: nothing can be shown", file=sys.stderr)
        return ExitCode.NOT_MEASURED
    lost = _watch_stdout()
    try:
        try:
            return _run(arguments, as_program=argv is None)
        finally:
            # here, where it can still be said that it cannot be written
            sys.stdout.flush()
    except (OSError, SystemExit):
        if not lost:
            raise
        # what is left to be written goes nowhere, without a word at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(lost[0], BrokenPipeError):
            return LEFT_EARLY
        print(f"standard output: cannot be written: {lost[0].strerror}", file=sys.stderr)
        return ExitCode.NOT_MEASURED


def _watch_stdout() -> list[OSError]:
    """Have the standard output show what it can; return where its errors are kept."""
    lost: list[OSError] = []
    stream = sys.stdout

    class Watched(io.FileIO):
        def write(self, data: Any, /) -> int:
            try:
                return super().write(data)
            except OSError as error:
                lost.append(error)
                raise

    if isinstance(stream, io.TextIOWrapper):
        # what a user wrote must not end a command where the terminal cannot show it
        stream.reconfigure(errors="backslashreplace")
        if stream is sys.__stdout__:
            stream.flush()
            raw = io.BufferedWriter(Watched(stream.fileno(), "w", closefd=False))
            lines = stream.line_buffering
            sys.stdout = io.TextIOWrapper(raw, stream.encoding, stream.errors, None, lines)
    return lost


def _run(arguments: Sequence[str], as_program: bool) -> int:
    parser, command = _parser(arguments)
    if not arguments:
        parser.print_help(sys.stderr)
        parser.exit(ExitCode.USAGE_ERROR)
    parsed, unknown = parser.parse_known_args(arguments)
    command.refuse_unknown(unknown)
    option = RUNS_USER_CODE.get(parsed.command)
    supervisor = supervise.take_link()
    if as_program and option is not None and getattr(parsed, option) is not None:
        program = _program()
        if supervisor is None and program is not None:
            return supervise.supervise(program, arguments)
    if supervisor is not None:
        supervisor.say(asked=parsed.command)
    code = _ended(parsed)
    if supervisor is not None:
        sys.stdout.flush()
        supervisor.say(finished=code)
    return code


def _ended(parsed: argparse.Namespace) -> int:
    run = import_module(f"lpca.commands.{parsed.command}").run
    try:
        return int(run(parsed))
    except UserError as error:
        tell(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        tell(f"interrupted: {KEPT.get(parsed.command, 'what stands is whole; run it again')}")
        return ExitCode.INTERRUPTED


def _program() -> str | None:
    """How lpca was started as a program; None where another program calls it."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return "-mlpca" if spec.name == "lpca.__main__" else None
    script = Path(sys.argv[0])
    return str(script.resolve()) if script.stem == "lpca" and script.is_file() else None


def tell(text: str) -> None:
    """Say one line beside what a command prints; that it cannot be said changes no exit code."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        # Python would try once more at the end, and end on 120
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def add_receiver_arguments(parser: argparse.ArgumentParser, default: str | None) -> None:
    """The receiver, and how it is loaded: as for `pytest gates/`."""
    parser.add_argument("--receiver", default=default, help="as for pytest gates/")
    add_loading(parser.add_argument)


def require_between(option: str, value: int, most: int) -> None:
    """Raise RequestError where a whole number is not from 1 to `most`."""
    if not 1 <= value <= most:
        raise RequestError(f"{option} {value}: out of range; allowed: 1 to {most}")


def _parser(arguments: Sequence[str]) -> tuple[_Parser, _Parser]:
    """The parser, and that of the command that is asked for: only it is imported."""
    parser = own = _Parser(
        prog="lpca", description="Test whether a latent channel carries meaning."
    )
    parser.add_argument("--version", action="version", version=f"lpca {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    asked = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, what in COMMANDS.items():
        command = commands.add_parser(name, help=what, description=what.capitalize() + ".")
        if name == asked:
            own = command
            import_module(f"lpca.commands.{name}").add_arguments(command)
    return parser, own
