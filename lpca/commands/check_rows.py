"""What `lpca check` finds in a spec's rows, and the copy without the faulty ones of `--fix`."""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from lpca.base.errors import RequestError
from lpca.base.files import write_bytes
from lpca.base.tables import shown_source, table_bytes
from lpca.checker.check import Finding
from lpca.gate.plan import DEFAULT_K, gate_episodes, task_of
from lpca.gatespec.load import SpecError
from lpca.gatespec.model import Spec
from lpca.tasks import TASKS, TaskError
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.rows import look_at_rows
from lpca.validity.rows import MENDED, Table, Unread, cleaned, row_findings, set_findings


@dataclass(frozen=True)
class Rows:
    """The rows of a spec, and the receiver that is to read them, if one is named."""

    spec: Spec
    receiver: str | None

    @cached_property
    def table(self) -> Table | None:
        """The table of a user's own episodes; None without one, or where `task_of` says why not."""
        kind = TASKS.get(self.spec.task.name)
        if kind is None or not issubclass(kind, Episodes):
            return None
        with suppress(TaskError):
            source, columns, options = kind.table(
                self.spec.task.settings, Path(self.spec.file).parent
            )
            return Table(look_at_rows(source, columns), columns, options)
        return None

    @cached_property
    def unread(self) -> Unread | None:
        """Says what the receiver cannot read, as the spec's prompt has it, at its largest k."""
        if self.receiver is None:
            return None
        from lpca.receivers.load import load_outline
        from lpca.receivers.model import why_unread

        receiver = load_outline(self.receiver).prompted(self.spec.prompt)
        k = max((k for gate in self.spec.gates.values() for k in gate.family), default=DEFAULT_K)
        return lambda episode: why_unread(receiver, episode, k)

    def findings(self) -> tuple[list[Finding], SpecError | None]:
        """What is wrong with rows, and with the gates' episodes; or why these cannot be drawn."""
        spec, table = self.spec, self.table
        found = list[Finding](row_findings(table, self.unread) if table else ())
        try:
            task = task_of(spec)
        except SpecError as error:
            return found, error
        gates = {
            (gate.answers, spec.episodes(gate)): gate for gate in reversed(spec.gates.values())
        }
        sets = {gate.name: gate_episodes(spec, gate, task) for gate in gates.values()}
        place = spec.task.places.get("file", spec.task.places["name"])
        found += set_findings(place, task, sets, self.unread, forms=table is not None)
        return found, None

    def fixed(self) -> str:
        """Write the rows without the faulty ones; say what was left out, and why.

        What was written is read and checked again, until nothing is left out.

        Raises:
            RequestError: there is no file of rows, or a cleaned one is there already.
        """
        table, unread = self.table, self.unread
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
