"""`lpca report`: one page about runs, for whoever has a browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from lpca.base.errors import ExitCode
from lpca.base.files import write_bytes
from lpca.commands.cli import tell
from lpca.evidence.runs import run_named
from lpca.judge.stored import read_stored

OUT = ".lpca/report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "evidence", nargs="*", default=["latest"], help="runs (lpca runs), or files of evidence"
    )
    parser.add_argument("--out", type=Path, default=Path(OUT), help="default: %(default)s")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write the page and print where it stands: PASS whatever the verdicts on it."""
    from lpca.report.page import report_page

    paths = [run_named(one) for one in arguments.evidence]
    page = report_page([(path.name, read_stored(path, tell=tell)) for path in paths])
    write_bytes(arguments.out, page.encode())
    print(arguments.out)
    return ExitCode.PASS
