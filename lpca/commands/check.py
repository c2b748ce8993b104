"""`lpca check`: the findings in a spec and its rows, for people, programs and pull requests."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lpca.base.errors import ExitCode
from lpca.checker.check import (
    UNREADABLE,
    Finding,
    RowFinding,
    by_rule,
    check_spec,
    has_errors,
    tally,
)
from lpca.commands.cli import tell
from lpca.gate.plan import task_of
from lpca.gatespec.load import SpecError, load_spec
from lpca.gatespec.model import Spec
from lpca.report.layout import annotation
from lpca.tasks import TASKS

FIRST = 5
"""How many findings of one rule in rows are shown."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("spec", nargs="?", default="gate_specs.yaml", help="the spec to check")
    parser.add_argument("--format", choices=("text", "json", "github"), default="text")
    parser.add_argument(
        "--receiver", metavar="NAME", help="also find what it cannot read (by its tokenizer alone)"
    )
    parser.add_argument(
        "--fix",
        action="store_true",
        help="write the rows without the faulty ones beside their file, as NAME.clean.SUFFIX",
    )


@dataclass(frozen=True)
class Checked:
    """What was found in the spec and in its rows, why it cannot be run at all, what was mended."""

    spec: Sequence[Finding]
    rows: Sequence[Finding] = ()
    refused: SpecError | None = None
    fixed: str = ""

    @property
    def code(self) -> ExitCode:
        """PASS without errors, FAIL with, USAGE_ERROR for what is no spec."""
        if self.refused is not None:
            return ExitCode.USAGE_ERROR
        return ExitCode.FAIL if has_errors([*self.spec, *self.rows]) else ExitCode.PASS


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the findings; PASS without errors, FAIL with, USAGE_ERROR for what is no spec."""
    try:
        checked = _checked(load_spec(arguments.spec), arguments.receiver, arguments.fix)
    except SpecError as error:
        checked = Checked((), (), error)
    write = {"text": _text, "json": _json, "github": _github}[arguments.format]
    for line in write(arguments.spec, checked):
        print(line)
    if checked.fixed:
        tell(checked.fixed)
    if checked.refused is not None and arguments.format == "text":
        raise checked.refused
    return checked.code


def _checked(spec: Spec, receiver: str | None, fix: bool) -> Checked:
    kind = TASKS.get(spec.task.name)
    if receiver is None and not fix and (kind is None or not kind.may_run_out):
        task_of(spec)
        return Checked(check_spec(spec))
    # what reads rows is loaded for them alone
    from lpca.commands.check_rows import Rows

    rows = Rows(spec, receiver)
    found, refused = rows.findings()
    fixed = rows.fixed() if fix else ""
    return Checked(() if refused else check_spec(spec), found, refused, fixed)


def _text(file: str, checked: Checked) -> Iterator[str]:
    if checked.refused is None:
        yield from _lines(checked.spec)
    for found in by_rule(checked.rows):
        # what the refusal tells is not told twice
        if found[0].rule == UNREADABLE and checked.refused is not None:
            continue
        yield from _lines(found[:FIRST])
        if len(found) > FIRST:
            where = found[0].position.file
            yield f"{where}: {found[0].rule}: {len(found)} in all, the first {FIRST} are shown"
    every = [*checked.spec, *checked.rows]
    if checked.refused is None or every:
        yield f"{file}: {tally(every) if every else 'no findings'}"


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.position}: {finding.severity}: {finding.rule}: {finding.wrong}"
        if finding.number:
            yield f"    {finding.number}"
        if finding.instead:
            yield f"    write instead: {finding.instead}"


def _every(checked: Checked) -> list[Finding]:
    """All findings, the refusal among them."""
    refused = checked.refused
    own = (
        []
        if refused is None
        else [Finding(refused.position, refused.message, "", "", UNREADABLE, "error")]
    )
    return [*own, *checked.spec, *checked.rows]


def _json(file: str, checked: Checked) -> Iterator[str]:
    told = [finding.to_dict() for finding in _every(checked)]
    yield json.dumps({"file": file, "findings": told}, indent=2)


def _github(_: str, checked: Checked) -> Iterator[str]:
    for found in by_rule(_every(checked)):
        for finding in found[:FIRST] if isinstance(found[0], RowFinding) else found:
            instead = f"Write instead: {finding.instead}" if finding.instead else ""
            text = "\n".join(filter(None, [finding.wrong, finding.number, instead]))
            yield annotation(finding.severity, finding.position, finding.rule, text)
