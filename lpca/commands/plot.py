"""`lpca plot`: pictures of a gate's evidence."""

from __future__ import annotations

import argparse
from pathlib import Path

from lpca.base.errors import ExitCode
from lpca.commands.cli import tell


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "evidence",
        type=Path,
        nargs="+",
        help="files of .lpca/evidence, or folders that lpca lab filled, of one gate",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to fill")
    parser.add_argument("--format", default="svg", choices=("svg", "pdf", "png"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write every picture that the files allow, and print where each one stands."""
    from lpca.report.figures.files import write_pictures

    paths = write_pictures(arguments.evidence, arguments.out, arguments.format, tell)
    print(*paths, sep="\n")
    return ExitCode.PASS
