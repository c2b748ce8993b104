"""`lpca check`: the findings in a spec and its rows, for people, programs and pull requests."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lpca.base.errors import ExitCode, RequestError
from lpca.base.files import write_bytes
from lpca.base.tables import shown_source, table_bytes
from lpca.checker.check import Finding, check_spec, has_errors, tally
from lpca.commands.cli import tell
from lpca.gate.plan import DEFAULT_K, gate_episodes, task_of
from lpca.gatespec.load import SpecError, load_spec
from lpca.gatespec.model import Spec
from lpca.report.layout import annotation
from lpca.tasks import TASKS, TaskError
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.rows import look_at_rows
from lpca.validity.rows import (
    MENDED,
    UNREADABLE,
    RowFinding,
    Table,
    Unread,
    by_rule,
    cleaned,
    row_findings,
    set_findings,
)

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
    """What was found: in the spec, in its rows, and why it cannot be run at all."""

    spec: Sequence[Finding]
    rows: Sequence[Finding] = ()
    refused: SpecError | None = None

    @property
    def code(self) -> ExitCode:
        """PASS without errors, FAIL with, USAGE_ERROR for what is no spec."""
        if self.refused is not None:
            return ExitCode.USAGE_ERROR
        return ExitCode.FAIL if has_errors([*self.spec, *self.rows]) else ExitCode.PASS


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the findings; PASS without errors, FAIL with, USAGE_ERROR for what is no spec."""
    table = unread = None
    try:
        spec = load_spec(arguments.spec)
        unread = _unread(spec, arguments.receiver) if arguments.receiver else None
        table = _table(spec)
        checked = _checked(spec, table, unread)
    except SpecError as error:
        checked = Checked((), (), error)
    write = {"text": _text, "json": _json, "github": _github}[arguments.format]
    for line in write(arguments.spec, checked):
        print(line)
    if arguments.fix:
        tell(_fixed(table, unread))
    if checked.refused is not None and arguments.format == "text":
        raise checked.refused
    return checked.code


def _table(spec: Spec) -> Table | None:
    """The rows of a spec's own episodes; None without any, or where `task_of` says why not."""
    kind = TASKS.get(spec.task.name)
    if kind is None or not issubclass(kind, Episodes):
        return None
    with suppress(TaskError):
        source, columns, options = kind.table(spec.task.settings, Path(spec.file).parent)
        return Table(look_at_rows(source, columns), columns, options)
    return None


def _checked(spec: Spec, table: Table | None, unread: Unread | None) -> Checked:
    rows = list[Finding](row_findings(table, unread) if table else ())
    try:
        task = task_of(spec)
    except SpecError as error:
        return Checked((), rows, error)
    if table is not None:
        sets = {(gate.answers, spec.episodes(gate)): gate for gate in reversed(spec.gates.values())}
        drawn = {gate.name: gate_episodes(spec, gate, task) for gate in sets.values()}
        rows += set_findings(spec.task.places["file"], task, drawn)
    return Checked(check_spec(spec), rows)


def _unread(spec: Spec, name: str) -> Unread:
    """What a receiver of that name cannot read, as a spec's prompt has it, at its largest k."""
    from lpca.receivers.load import load_outline
    from lpca.receivers.model import why_unread

    receiver = load_outline(name).prompted(spec.prompt)
    k = max((k for gate in spec.gates.values() for k in gate.family), default=DEFAULT_K)
    return lambda episode: why_unread(receiver, episode, k)


def _fixed(table: Table | None, unread: Unread | None) -> str:
    """Write the rows without the faulty ones, and say what was left out, and why.

    What was written is read and checked again, until nothing is left out.
    """
    if table is None or not isinstance(table.read.source, Path):
        raise RequestError("--fix: allowed: task episodes, with rows that stand in a file")
    source = table.read.source
    target = source.with_suffix(f".clean{source.suffix}")
    if target.exists():
        raise RequestError(f"--fix: {target} is already there; allowed: a name that is free")
    total = Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        now = table
        while True:
            kept, done = cleaned(now, row_findings(now, unread))
            if not done.total():
                break
            total += done
            place = Path(folder) / f"{total.total()}{source.suffix}"
            place.write_bytes(table_bytes(kept, source))
            now = replace(table, read=look_at_rows(place, table.columns))
        if now is table:
            return f"{table.name}: nothing to leave out; nothing was written"
        write_bytes(target, table_bytes([one.held for one in now.read.records], source))
    mended = total.pop(MENDED, 0)
    left = ", ".join(f"{count} {rule}" for rule, count in total.most_common()) or "none"
    return (
        f"{shown_source(target)}: {len(now.read.rows)} of {table.read.count} rows; left out: "
        f"{left}; hidden characters taken out of {mended}"
    )


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
