"""What the validity checks would find in rows of a table, before any model: each at its place.

The checks look at the episodes of one gate, and stop at the first fault. Here the same functions
read every row, of whatever split, and go on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lpca.base.lookalikes import disguised_in, folded, hidden_in
from lpca.base.tables import Record, shown_source
from lpca.checker.check import UNREADABLE, Finding, RowFinding
from lpca.checker.rule import Severity
from lpca.gatespec.model import Position
from lpca.tasks import Episode, EpisodeSet, Task, split_by_hash
from lpca.tasks.fields import FIELDS, RECEIVED_FIELDS, Columns, Row
from lpca.tasks.row_tasks import RowEpisode
from lpca.tasks.rows import Read, without_lists
from lpca.validity.catalogue import CheckFailed
from lpca.validity.checks.episodes import as_read, balanced, known_messages
from lpca.validity.checks.form import no_form_tells
from lpca.validity.checks.giveaways import given_away, labels_of, spaced_words

RECEIVER, FORM = "receiver", "form"
"""The rules named when a receiver cannot read a row, and when the episodes of a gate give their
answers away as a whole."""
CONTROL = re.compile(
    r"<\|[\w ]{1,40}\|>|</?s>|\[/?INST\]|<(?:bos|eos|pad|unk|mask|start_of_turn|end_of_turn)>"
)
"""Names of control tokens of common tokenizers; here they are text like any other."""
Unread = Callable[[Episode], str | None]
"""Says why a receiver cannot read an episode; None where it can."""
MENDED = "mended"
"""Counts rows out of which hidden characters were taken."""
Told = Iterator[tuple[Row, Position, str]]


@dataclass(frozen=True)
class Table:
    """Rows as they were read, and where their fields stand.

    Args:
        read: the rows, and what is wrong with the others.
        columns: which of the table's columns the fields are.
        options: how many options a row gets that names none.
    """

    read: Read
    columns: Columns
    options: int

    @property
    def name(self) -> str:
        """What messages call it."""
        return shown_source(self.read.source)

    @cached_property
    def pairs(self) -> list[tuple[Row, RowEpisode]]:
        """Each row with an episode of it, which has no options but the row's own."""
        return [
            (row, RowEpisode.of(row, row.line, "seen", row.options or (row.answer,)))
            for row in self.read.rows
        ]

    @cached_property
    def records(self) -> Mapping[int, Record]:
        """The table's own rows by their lines."""
        return {record.line: record for record in self.read.records}

    @cached_property
    def _lines(self) -> list[str]:
        """A text file's lines; none of what has no lines."""
        source = self.read.source
        if not isinstance(source, Path) or source.suffix.lower() == ".parquet":
            return []
        return source.read_bytes().decode("utf-8", "replace").removeprefix("\ufeff").split("\n")

    def place(self, row: Row, field: str, found: str = "") -> Position:
        """Where the value of a field stands, or what is found in it.

        Args:
            row: whose line it is.
            field: its name; those of `FIELDS` have others in the other form of rows.
            found: a part of its text.
        """
        record = self.records[row.line]
        others = dict(zip(FIELDS, RECEIVED_FIELDS, strict=True))
        names = [field, others.get(field, field), "question" if field == "context" else field]
        columns = [self.columns.column(name) for name in names]
        line, column = record.place(next((one for one in columns if one in record.held), ""))
        if not isinstance(column, int):
            return Position(self.name, line, list(record.held).index(column) + 1)
        if found and self._lines:
            own = self._lines[line - 1]
            for escaped in (False, True):
                written = re.escape(json.dumps(found, ensure_ascii=escaped)[1:-1])
                # as a word, if it is one
                for pattern in (rf"(?<!\w){written}(?!\w)", written):
                    if at := re.compile(pattern, re.IGNORECASE).search(own, column - 1):
                        return Position(self.name, line, at.start() + 1)
        return Position(self.name, line, column)


def row_findings(table: Table, unread: Unread | None = None) -> list[RowFinding]:
    """Find what is wrong with rows, in the order of the rules, and of the rows for each.

    Args:
        table: what is read.
        unread: says which episodes a receiver cannot read; None where no receiver is named.
    """
    findings = []
    for fault in table.read.faults:
        line, column = fault.place
        place = Position(table.name, line, column if isinstance(column, int) else 1)
        text = str(fault.args[0])
        findings.append(RowFinding(place, text, "", "", UNREADABLE, "error", line))
    for rule, (severity, find) in RULES.items():
        for row, place, text in find(table):
            findings.append(RowFinding(place, text, "", "", rule, severity, row.line))
    if unread is not None:
        for row, episode in table.pairs:
            if why := unread(episode):
                place = table.place(row, "message")
                findings.append(RowFinding(place, why, "", "", RECEIVER, "error", row.line))
    return findings


def set_findings(
    place: Position,
    task: Task,
    sets: Mapping[str, EpisodeSet],
    unread: Unread | None = None,
    forms: bool = True,
) -> list[Finding]:
    """Find what is wrong with the episodes of gates as a whole.

    Args:
        place: where a finding is said to stand.
        task: whose they are.
        sets: those that the gates declare, by the gates' names.
        unread: as for `row_findings`.
        forms: whether prompts are somebody's own, whose form may give answers away.
    """
    findings = list[Finding]()
    for gate, episodes in sets.items():
        for check in (no_form_tells, balanced) if forms else ():
            try:
                check(task, episodes.episodes)
            except CheckFailed as failed:
                wrong = f"gate {gate}: {failed}"
                findings.append(Finding(place, wrong, "", "", FORM, "error"))
        whys = (unread(episode) for episode in episodes if unread)
        if why := next(filter(None, whys), None):
            findings.append(Finding(place, f"gate {gate}: {why}", "", "", RECEIVER, "error"))
    return findings


def _outside(row: Row) -> list[str]:
    """B's texts, and what is public, without lists of all the options that a row names."""
    texts = [*row.context, *([row.public] if row.public else [])]
    if not row.options:
        return texts
    return [part for text in texts for part in without_lists(row.options, text) or (text,)]


def _labels(table: Table) -> set[str]:
    """Answers that are an option of half of the episodes or more, drawn or named."""
    counts = Counter(row.answer for row in table.read.rows if not row.options)
    # the chance that an answer is among so many that are drawn as often as rows have it
    often = {
        answer
        for answer, count in counts.items()
        if 1 - (1 - count / counts.total()) ** table.options >= 0.5
    }
    return often | labels_of([episode for row, episode in table.pairs if row.options])


def _giveaways(table: Table) -> Told:
    labels = _labels(table)
    for row, episode in table.pairs:
        if found := given_away(episode, _outside(row), labels):
            yield row, table.place(row, "context", found.found), found.told


def _duplicates(table: Table) -> Told:
    met: dict[tuple[str, ...], Row] = {}
    for row in table.read.rows:
        key = (as_read(row.message), *(" ".join(folded(text).split()) for text in row.context))
        first = met.setdefault(key, row)
        if first is not row:
            told = (
                f"message and context read as those of line {first.line}, if not letter by letter"
            )
            yield row, table.place(row, "message"), told


def _trained_on(table: Table) -> Told:
    splits = {row.line: split_by_hash(row.group) for row in table.read.rows}
    trained = {
        row.message: row.line for row in table.read.rows[::-1] if splits[row.line] == "train"
    }
    rows = {row.line: row for row in table.read.rows}
    tested = [episode for row, episode in table.pairs if splits[row.line] == "test"]
    lines = {as_read(message): line for message, line in trained.items()}
    for episode, message in known_messages(tested, sorted(trained)):
        told = (
            "this message is in the test split, and nearly that of line "
            f"{lines[as_read(message)]}, which is trained on; give both one `group`"
        )
        row = rows[episode.seed]
        yield row, table.place(row, "message"), told


def _texts(row: Row) -> Iterator[tuple[str, str]]:
    """A row's texts, each behind the field it stands in."""
    yield from (("message", text) for text in row.senders or (row.message,))
    yield from (("context", text) for text in row.context)
    yield "answer", row.answer
    yield from (("options", text) for text in row.options)


def _in_texts(look: Callable[[str], tuple[str, str] | None]) -> Callable[[Table], Told]:
    """A rule that tells the first find in each row: what stands there, and what of it."""

    def find(table: Table) -> Told:
        for row in table.read.rows:
            found = ((field, look(text)) for field, text in _texts(row))
            if first := next(((field, told) for field, told in found if told), None):
                field, (words, told) = first
                yield row, table.place(row, field, words), told

    return find


def _hidden(text: str) -> tuple[str, str] | None:
    if not (places := hidden_in(text)):
        return None
    first = text[places[0]]
    return first, f"U+{ord(first):04X} is drawn as nothing, and a tokenizer reads it"


def _disguised(text: str) -> tuple[str, str] | None:
    if not (words := disguised_in(text)):
        return None
    word = words[0][1]
    return word, f"{word!r:.60} mixes Latin letters with others drawn alike: {word!a:.90}"


def _control(text: str) -> tuple[str, str] | None:
    if (found := CONTROL.search(text)) is None:
        return None
    return found.group(), f"{found.group()!r} names a control token; here it is text"


def _containing(table: Table) -> Told:
    for row in table.read.rows:
        words = {option: spaced_words(option) for option in row.options}
        within = (
            (one, other)
            for one in row.options
            for other in row.options
            if one is not other and words[one] in words[other]
        )
        if found := next(within, None):
            told = (
                f"option {found[0]!r:.60} stands within {found[1]!r:.60}: who names this names both"
            )
            yield row, table.place(row, "options", found[0]), told


RULES: Mapping[str, tuple[Severity, Callable[[Table], Told]]] = {
    "gives-away": ("error", _giveaways),
    "duplicate": ("error", _duplicates),
    "trained-on": ("error", _trained_on),
    "hidden-character": ("warning", _in_texts(_hidden)),
    "look-alike": ("warning", _in_texts(_disguised)),
    "options-contain": ("warning", _containing),
    "control-token": ("warning", _in_texts(_control)),
}
"""What is asked of rows that can be read, by name, in the order in which it is told."""


def cleaned(
    table: Table, findings: Sequence[RowFinding]
) -> tuple[list[Mapping[str, Any]], Counter[str]]:
    """Return a table's own rows without those that have an error, and what was done to how many.

    What is drawn as nothing is taken out of the others.
    """
    faulty = {one.row: one.rule for one in reversed(findings) if one.severity == "error"}
    kept, done = list[Mapping[str, Any]](), Counter(faulty.values())
    for line, record in table.records.items():
        if line not in faulty:
            mended = plain(record.held)
            done[MENDED] += mended != record.held
            kept.append(mended)
    return kept, done


def plain(held: Any) -> Any:
    """Return what a row holds without the characters that are drawn as nothing."""
    if isinstance(held, str):
        hidden = {*hidden_in(held)}
        return "".join(one for place, one in enumerate(held) if place not in hidden)
    if isinstance(held, list):
        return list(map(plain, held))
    return {key: plain(one) for key, one in held.items()} if isinstance(held, dict) else held
