"""`lpca record`: evidence becomes an attempt's page, and an index over all of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lpca.base.errors import ExitCode, RequestError, UserError
from lpca.commands.cli import tell
from lpca.evidence.runs import run_named
from lpca.gatespec.load import load_spec
from lpca.report.attempts.folder import Folder, Recorded
from lpca.report.attempts.kept import Attempt, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "evidence",
        nargs="?",
        help="a run (lpca runs), its evidence, or a .json file of published attempts",
    )
    parser.add_argument(
        "--folder", default="docs/experiments", help="where attempts stand; default: %(default)s"
    )
    parser.add_argument(
        "--note",
        action="append",
        default=[],
        metavar="TEXT",
        help="a line of the decision log; it may begin with a date, as in 2026-01-31",
    )
    parser.add_argument(
        "--spec", default="gate_specs.yaml", help="what published counts are judged by"
    )
    parser.add_argument("--index", action="store_true", help="only write the index anew")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write the next page and the index; PASS also where the evidence is recorded already."""
    folder = Folder(Path(arguments.folder), tell)
    if arguments.index == (arguments.evidence is not None):
        raise RequestError("lpca record: allowed: a file to record, or --index")
    try:
        recorded = [] if arguments.index else _record(folder, arguments)
        for one in recorded:
            print(one.page if one.new else f"already recorded: {one.page}")
        print(folder.write_index())
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        what = arguments.evidence or folder.path
        raise RequestError(f"{what}: not as lpca writes it ({error!r:.80})") from error
    return ExitCode.PASS


def _record(folder: Folder, arguments: argparse.Namespace) -> Sequence[Recorded]:
    file = run_named(arguments.evidence)
    if not isinstance(read(file, tell), Attempt):
        return folder.record_published(file, load_spec(arguments.spec), arguments.note)
    return [folder.record(file, arguments.note)]
