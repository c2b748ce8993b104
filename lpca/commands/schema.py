"""`lpca schema`: the JSON Schema of a spec file, by which editors complete and check it."""

from __future__ import annotations

import argparse
from pathlib import Path

from lpca.base.errors import ExitCode, RequestError
from lpca.base.files import StorageError, write_text
from lpca.gatespec.keys import schema_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there, and not here")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the schema, or write it to a file."""
    text = schema_text()
    if arguments.out is None:
        print(text, end="")
        return ExitCode.PASS
    try:
        write_text(arguments.out, text)
    except StorageError as error:
        raise RequestError(f"--out {error}") from error
    print(f"schema written to {arguments.out}")
    return ExitCode.PASS
