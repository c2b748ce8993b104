"""One row of a user's episodes: from a table's columns to fields, each checked."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import chain
from typing import Any

from lpca.base.lookalikes import folded
from lpca.base.registry import suggestion
from lpca.base.tables import Record, clipped, value_at
from lpca.tasks import MAX_OPTIONS, MAX_SENDERS, MIN_OPTIONS, TaskError, joined, message_key

MARK = "{message}"
_NUMBERED = re.compile(r"\{message:([0-9]{1,3})\}")
"""The mark of one sender's slot, where there are several."""
MAX_DISTRACTORS = 1000
MAX_ANSWER = 1000
"""Characters of an answer, an option or the name of a group."""
FIELDS = ("message", "context", "answer")
RECEIVED_FIELDS = ("sender_message", "receiver_context", "receiver_output")
OPTIONAL = ("options", "distractors", "kind", "group", "public", "id")
MAPPED = ("message", "question", "context", "answer", *OPTIONAL)
"""What a column can be mapped to."""
QUESTION = "{question}"
LISTED = "{options}"
"""Stands in B's text where the options are to be listed, in the order of their places."""
CONTEXT = f"{MARK}\nQuestion: {QUESTION}\nAnswer:"
"""B's text where rows have a question and no context."""
NEARLY = 0.82
"""The likeness, by `difflib`, from which on a column was meant for a field: not `idx` for `id`."""
LONGEST_NAME = 100
"""Characters of a column's name that is passed over."""
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Row:
    """One episode as its author wrote it.

    B sees `before`, the slot, then `after`; where there are several slots, texts `between` them.
    `options` is empty where the row names none. Rows of one `group` stand in one split. `public`,
    `senders`, `order` and `between` are as of `Episode`. `also` is what is right beside `answer`,
    `id` what its author calls it. `distractors` are taken first where wrong options are drawn; what
    else stands among them is the answer of a row of the same `kind`, as a donor's is.
    """

    line: int
    message: str
    before: str
    after: str
    answer: str
    options: tuple[str, ...]
    group: str
    public: str = ""
    senders: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    between: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    distractors: tuple[str, ...] = ()
    kind: str = ""
    id: str = ""

    @property
    def context(self) -> tuple[str, ...]:
        """B's own texts, in their order."""
        return (self.before, *self.between, self.after)

    @property
    def content(self) -> tuple[object, ...]:
        """All of it but the line it stands on; what only some rows have where it is there."""
        told = (self.message, self.before, self.after, self.answer, self.options, self.group)
        more = (self.public, self.senders, self.order, self.between)
        last = (self.also, self.distractors, self.kind)
        if any(last):
            return told + more + last
        return told + more if any(more) else told

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(json.dumps(self.content).encode()).hexdigest()


@dataclass(frozen=True)
class Columns:
    """Which column of a table is what of a row, by field; empty where columns are called so.

    `paths` gives for a field a column, dotted into what is nested (`answers.text`); several columns
    joined by `+` are a list. `context` is B's text where rows have a question in its place.

    Example:
        >>> squad = {"message": "context", "question": "question", "answer": "answers.text"}
        >>> row = {"context": "m", "question": "q?", "answers": {"text": ["a", "b"]}}
        >>> Columns(squad).fields(row)
        {'message': 'm', 'question': 'q?', 'answer': ['a', 'b']}
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    context: str = CONTEXT

    def __post_init__(self) -> None:
        for name in self.paths:
            if name not in MAPPED:
                raise TaskError(
                    f"map has the unknown field {clipped(name)}; {suggestion(name, MAPPED)}", "map"
                )
        for mark in (MARK, QUESTION):
            if self.context.count(mark) != 1:
                raise TaskError(
                    f"context is {clipped(self.context)}; allowed: a text with {MARK} and "
                    f"{QUESTION}, each once",
                    "context",
                )

    def named(self) -> Iterator[tuple[str, str]]:
        """Each field with each column that it is read from, dotted into what is nested."""
        for name, paths in self.paths.items():
            yield from ((name, path.strip()) for path in paths.split("+"))

    def lacked_by(self, held: Mapping[str, Any]) -> set[tuple[str, str]]:
        """Those of `named` that a row of the table does not have."""
        lacked = set[tuple[str, str]]()
        for name, path in self.named():
            try:
                value_at(held, path)
            except LookupError:
                lacked.add((name, path))
        return lacked

    def fields(self, held: Mapping[str, Any]) -> dict[str, Any]:
        """What a row of the table holds, by field; a field that it lacks is left out."""
        if not self.paths:
            return dict(held)
        lacked = self.lacked_by(held)
        found: dict[str, Any] = {}
        for name, paths in self.paths.items():
            columns = [path for field, path in self.named() if field == name]
            values = [value_at(held, path) for path in columns if (name, path) not in lacked]
            if values:
                found[name] = values if "+" in paths else values[0]
        return found

    def column(self, name: str) -> str:
        """The table's own column that a field is read from."""
        path = self.paths.get(name, name).split("+")[0].strip()
        return path if path == name else path.partition(".")[0]


PLAIN = Columns()
"""Columns are called as the fields are."""


class WrongFieldError(Exception):
    """What is wrong with a field of a row, and what is allowed."""

    def __init__(self, text: str, name: str = "") -> None:
        super().__init__(text)
        self.name = name


def row_of(record: Record, columns: Columns) -> Row:
    """Return the row that a record of a table is; WrongFieldError where it is none."""
    held = columns.fields(record.held)
    names = RECEIVED_FIELDS if set(held) & set(RECEIVED_FIELDS) else FIELDS
    if not columns.paths:
        _refuse_misspelt(held, names)
    if "question" in held and names == FIELDS:
        if "context" in held:
            raise WrongFieldError("question beside context; allowed: one of them", "question")
        asked = _text(held, "question").strip()
        held["context"] = columns.context.replace(QUESTION, asked)
    senders = _senders(held, names[0])
    context, (answer, *also) = _text(held, names[1]), _answers(held, names[2])
    texts = ((names[0], text) for text in senders), ((names[2], text) for text in (answer, *also))
    for name, text in chain(*texts):
        if MARK in text or (len(senders) > 1 and _NUMBERED.search(text)):
            raise WrongFieldError(f"{name} holds {MARK}; allowed: once, in {names[1]}", name)
    around, order = _around(context, names, len(senders))
    public = _public(held, around, names[1]) if "public" in held else ""
    message = joined(senders)
    options = _options_of(held, answer, also) if "options" in held else ()
    group = _name_in(held, "group") if "group" in held else message_key(message)
    return Row(
        line=record.line,
        message=message,
        before=around[0] or "\n",
        after=around[-1] or "\n",
        answer=answer,
        options=options,
        group=group,
        public=public,
        senders=senders if len(senders) > 1 else (),
        order=order,
        between=around[1:-1],
        also=tuple(also),
        distractors=_distractors(held, (answer, *also)) if "distractors" in held else (),
        kind=_name_in(held, "kind") if "kind" in held else "",
        id=_name_in(held, "id") if "id" in held else "",
    )


def _refuse_misspelt(held: Mapping[str, Any], names: Sequence[str]) -> None:
    """Other columns are passed over, but for one that is nearly a field: its values would be lost.

    So is one that belongs to the other form of rows.
    """
    known = (*names, "question", *OPTIONAL) if names == FIELDS else (*names, *OPTIONAL)
    others = {*FIELDS, "question", *RECEIVED_FIELDS} - set(known)
    for name in held:
        if name in known:
            continue
        plain = name.isprintable() and name.isascii() and len(name) <= LONGEST_NAME
        near = get_close_matches(name[: 2 * LONGEST_NAME].lower(), known, n=1, cutoff=NEARLY)
        if name in others or not plain or near:
            raise WrongFieldError(f"unknown field {clipped(name)}; {suggestion(name, known)}", name)


def _name_in(held: Mapping[str, Any], name: str) -> str:
    """What is called by a text, or by a whole number where it is an id."""
    value = held[name]
    if name == "id" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = _text(held, name)
    if len(text) > MAX_ANSWER:
        raise WrongFieldError(
            f"{name} has {len(text)} characters; allowed: at most {MAX_ANSWER}", name
        )
    return text


def _answers(held: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The right answer, and what else is right, each once."""
    value = _listed(held.get(name))
    if not isinstance(value, list):
        value = [_text(held, name)]
    if not value:
        raise WrongFieldError(f"{name} is []; allowed: a text, or a list of some", name)
    texts = [_as_text(one, name).strip() for one in value]
    for text in texts:
        if len(text) > MAX_ANSWER:
            raise WrongFieldError(
                f"{name} has {len(text)} characters; allowed: at most {MAX_ANSWER}", name
            )
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(text.casefold(), text)
    return tuple(found.values())


def _listed(value: Any) -> Any:
    """A cell of a CSV that is a list in JSON as that list; anything else as it is."""
    if isinstance(value, str) and value.startswith("[") and value.endswith("]"):
        with suppress(ValueError, RecursionError):
            found = json.loads(value)
            return found if isinstance(found, list) else value
    return value


def _senders(held: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The message, or what each of several senders tells."""
    if not isinstance(held.get(name), list):
        return (_text(held, name).strip(),)
    texts = held[name]
    if not 2 <= len(texts) <= MAX_SENDERS:
        raise WrongFieldError(
            f"{name} is {clipped(texts)}; allowed: a text that is not empty, or a list of 2 to "
            f"{MAX_SENDERS} such",
            name,
        )
    return tuple(_as_text(text, f"{name} {place}").strip() for place, text in enumerate(texts, 1))


def _public(held: Mapping[str, Any], texts: Sequence[str], context: str) -> str:
    """What both sides see: as B reads it, case and look-alike letters aside."""
    public = _text(held, "public").strip()
    if not any(_as_read(public) in _as_read(text) for text in texts):
        raise WrongFieldError(
            f"public {clipped(public)} does not stand in {context}; allowed: a part of what B "
            "reads, on one side of the message",
            "public",
        )
    return public


def _as_read(text: str) -> str:
    return message_key(folded(text))


def _text(held: Mapping[str, Any], name: str) -> str:
    if name not in held:
        raise WrongFieldError(
            f"the field {name} is missing; allowed: a text that is not empty", name
        )
    return _as_text(held[name], name)


def _as_text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise WrongFieldError(
            f"{name} is {clipped(value)}; allowed: a text that is not empty", name
        )
    if found := _FORBIDDEN.search(value):
        raise WrongFieldError(
            f"{name} holds the character {found.group()!a}; allowed: printable ones, tabs "
            "and line breaks",
            name,
        )
    return value


def _around(
    context: str, names: Sequence[str], senders: int
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The texts around the slots, and by slot the number of its sender, from 0 on.

    There are numbers only where each of several senders has a slot. The message and the answer
    follow what is before them after a space of their own.
    """
    numbered = list(map(int, _NUMBERED.findall(context))) if senders > 1 else []
    count = context.count(MARK)
    if count == 0 and not numbered and names == RECEIVED_FIELDS:
        context, count = context + MARK, 1
    own = f", or {{message:1}} to {{message:{senders}}}, each once" if senders > 1 else ""
    if numbered and (count or sorted(numbered) != list(range(1, senders + 1))):
        marks = [f"{{message:{number}}}" for number in numbered] + [MARK] * count
        raise WrongFieldError(
            f"{names[1]} has {', '.join(marks)}; allowed: {MARK}, once{own}", names[1]
        )
    if count != 1 and not numbered:
        found = "no place" if count == 0 else f"{count} places"
        raise WrongFieldError(
            f"{names[1]} has {found} for the message; allowed: {MARK}, once{own}", names[1]
        )
    # a pattern with a group gives what it found between the texts
    texts = _NUMBERED.split(context)[::2] if numbered else context.split(MARK)
    return tuple(part.rstrip(" \t") for part in texts), tuple(one - 1 for one in numbered)


def _options_of(held: Mapping[str, Any], answer: str, also: Sequence[str]) -> tuple[str, ...]:
    if "distractors" in held:
        raise WrongFieldError("distractors beside options; allowed: one of them", "distractors")
    value = _listed(held["options"])
    allowed = f"a list of {MIN_OPTIONS} to {MAX_OPTIONS} texts, the answer among them"
    if not isinstance(value, list) or not MIN_OPTIONS <= len(value) <= MAX_OPTIONS:
        raise WrongFieldError(f"options is {clipped(value)}; allowed: {allowed}", "options")
    options = _apart(value, (), "option")
    if answer not in options:
        raise WrongFieldError(
            f"answer {clipped(answer)} is none of {clipped(list(options))}; allowed: {allowed}",
            "answer",
        )
    if right := [one for one in options if one in also]:
        raise WrongFieldError(
            f"option {clipped(right[0])} is right too; allowed: one of the right answers", "options"
        )
    return options


def _distractors(held: Mapping[str, Any], right: Sequence[str]) -> tuple[str, ...]:
    value = _listed(held["distractors"])
    value = value if isinstance(value, list) else [value]
    if not value or len(value) > MAX_DISTRACTORS:
        raise WrongFieldError(
            f"distractors is {clipped(value)}; allowed: a list of 1 to {MAX_DISTRACTORS} texts",
            "distractors",
        )
    return _apart(value, right, "distractor")


def _apart(value: Sequence[Any], beside: Sequence[str], what: str) -> tuple[str, ...]:
    """Texts that can stand among a row's options, beside one another and beside others."""
    texts = tuple(
        _as_text(one, f"an {what}" if what == "option" else what).strip() for one in value
    )
    for place, text in enumerate(texts):
        if MARK in text or len(text) > MAX_ANSWER:
            raise WrongFieldError(
                f"{what} {clipped(text)}; allowed: at most {MAX_ANSWER} characters, no {MARK}",
                f"{what}s",
            )
        for other in (*beside, *texts[:place]):
            if clash(text, other):
                raise WrongFieldError(
                    f"{what} {clipped(text)} beside {clipped(other)}; allowed: options of which "
                    "none is another one or begins it, whatever the case",
                    f"{what}s",
                )
    return texts


def clash(one: str, other: str) -> bool:
    """Whether two answers cannot stand beside each other: one is the other, or begins it.

    The longer of two such can never score higher, for all that it has to say besides.
    """
    one, other = one.casefold(), other.casefold()
    return one.startswith(other) or other.startswith(one)
