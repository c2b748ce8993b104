"""`lpca init`: a project of gates to begin with."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from lpca.base.errors import RequestError
from lpca.base.exit_codes import ExitCode
from lpca.commands.cli import UsageError
from lpca.commands.scaffold import places, write_project


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="where; default: this folder"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write the project, and say what to run and what to change; nothing is ever overwritten."""
    folder: Path = arguments.folder
    try:
        names = write_project(folder)
    except RequestError as error:
        raise UsageError(error) from error
    print(f"{len(names)} files written to {folder}:", *(f"  {name}" for name in names), sep="\n")
    print("\nnext:")
    if folder != Path():
        print(f"  cd {shlex.quote(str(folder))}")
    print("  lpca check\n  pytest gates/\n\nthen put your own in place of the sample:")
    for place in places():
        print(f"  {f'{place.file}:{place.line}':18} {place.text}")
        print(f"  {'':18} {place.what}")
    return ExitCode.PASS
