"""`lpca ledger merge`: one memory of test episodes out of several that were kept apart."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from lpca.base.errors import ExitCode, RequestError
from lpca.base.files import locked
from lpca.validity.ledger import families, last_verdicts, looks_of, unpaid
from lpca.validity.ledger_file import LINES, LedgerFile, merged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    doing = parser.add_subparsers(dest="doing", required=True, metavar="merge")
    what = "let the first ledger hold what all hold, and charge every look anew"
    merge = doing.add_parser("merge", help=what, description=what.capitalize() + ".")
    merge.add_argument("into", type=Path, help="a ledger's folder, such as .lpca/ledger")
    merge.add_argument("others", type=Path, nargs="+", help="folders of other ledgers")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Merge, and name each PASS that alpha does not pay for any more; INVALID with any."""
    into: Path = arguments.into
    for folder in (into, *arguments.others):
        if not folder.is_dir():
            what = "this is no folder" if folder.exists() else "no such folder"
            raise RequestError(f"{folder}: {what}; allowed: the folder of a ledger")
    with locked(into / LINES):
        every = [LedgerFile.read(folder) for folder in (into, *arguments.others)]
        whole = replace(every[0], lines=merged(every))
        # read whole before it is written: what cannot be read is not kept
        looks, late = looks_of(whole), unpaid(whole)
        if whole.lines:
            whole.write()
    passed = {line for line, verdict in last_verdicts(whole.lines).items() if verdict == "PASS"}
    lost = [entry for line, entry in late.items() if line in passed]
    count = len(families(list(looks.values())))
    print(f"{into}: {len(looks)} looks at {count} sets of test episodes, {len(every)} ledgers")
    for entry in lost:
        print(
            f"gate {entry.gate} k={entry.k}: its PASS is no longer paid for: others looked at "
            f"these episodes (codec {entry.codec[:16]}, spec {entry.spec[:16]})"
        )
    return ExitCode.INVALID if lost else ExitCode.PASS
