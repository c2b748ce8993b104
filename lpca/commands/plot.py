"""`lpca plot`: pictures of a gate's evidence."""

from __future__ import annotations

import argparse
from pathlib import Path

from lpca.base.errors import ExitCode
from lpca.commands.cli import tell
from lpca.evidence.runs import run_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "evidence",
        nargs="+",
        help="runs (lpca runs), files of evidence, or folders that lpca lab filled, of one gate",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument("--format", default="svg", choices=("svg", "pdf", "png"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write every picture that the files allow, and print where each one stands."""
    from lpca.report.figures.files import write_pictures

    sources = [run_named(one) for one in arguments.evidence]
    paths = write_pictures(sources, arguments.out, arguments.format, tell)
    print(*paths, sep="\n")
    return ExitCode.PASS
