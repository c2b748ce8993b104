"""From rows, one per episode, to an outcome table; every offending row is named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lpca.base.registry import suggestion
from lpca.gatespec.model import CONDITIONS
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, shown

NAMES = ("seed", "episode")
STRATUM = "answers"
_STRATA = ("seen", "unseen")
_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})
_WHOLE = re.compile(r"(-?[0-9]+)\.0*")
_LONGEST_NUMBER = 18
_ABSENT = frozenset({"", "none", "null", "nan", "na"})


@dataclass(frozen=True)
class Row:
    """One episode as its file has it; `place` is how messages name it."""

    place: str
    values: Mapping[str, Any]


def table_of(rows: Sequence[Row]) -> OutcomeTable:
    """Check rows and pair them.

    Each row has `seed` or `episode`, one outcome per condition (1, 0, true or false), and
    optionally `answers` (seen or unseen).

    Raises:
        OutcomeError: no rows, an unknown column, a missing outcome, a duplicated episode or an
            outcome that is not binary; the first few such rows are named.
    """
    if not rows:
        raise OutcomeError("there is no row; one per episode is expected")
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    key = _key(columns)
    conditions = [name for name in columns if name in CONDITIONS]
    _check_columns(columns, conditions)
    seeds = _seeds(rows, key)
    outcomes = {name: tuple(_outcomes(rows, name)) for name in conditions}
    answers = _answers(rows) if STRATUM in columns else None
    return OutcomeTable(seeds, outcomes, answers)


def _key(columns: Sequence[str]) -> str:
    given = [name for name in NAMES if name in columns]
    if len(given) != 1:
        raise OutcomeError(
            f"the columns are {shown(columns)}; exactly one of {' and '.join(NAMES)} is due"
        )
    return given[0]


def _check_columns(columns: Sequence[str], conditions: Sequence[str]) -> None:
    allowed = (*NAMES, STRATUM, *CONDITIONS)
    unknown = next((name for name in columns if name not in allowed), None)
    if unknown is not None:
        raise OutcomeError(
            f"unknown column {clipped(str(unknown))!r}; {suggestion(str(unknown), allowed)}"
        )
    if not conditions:
        raise OutcomeError(f"there is no column of outcomes; allowed: {', '.join(CONDITIONS)}")


def _seeds(rows: Sequence[Row], key: str) -> tuple[int | str, ...]:
    texts = [_name(row.values.get(key)) for row in rows]
    numbers = all(text.isdecimal() and len(text) <= _LONGEST_NUMBER for text in texts)
    if numbers:
        texts = [str(int(text)) for text in texts]
    nameless = [row.place for row, text in zip(rows, texts, strict=True) if text in _ABSENT]
    if nameless:
        raise OutcomeError(f"no {key} in {shown(nameless)}; every row names its episode")
    twice = {text for text, count in Counter(texts).items() if count > 1}
    if twice:
        named = [f"{row.place} ({key} {text})" for row, text in zip(rows, texts, strict=True)]
        repeated = [name for name, text in zip(named, texts, strict=True) if text in twice]
        raise OutcomeError(f"duplicated episodes: {shown(repeated)}; one row each is allowed")
    return tuple(int(text) if numbers else text for text in texts)


def _name(value: Any) -> str:
    is_name = isinstance(value, str | int | float) and not isinstance(value, bool)
    return _text(value) if is_name else ""


def _outcomes(rows: Sequence[Row], condition: str) -> list[bool]:
    texts = [_text(row.values.get(condition)) for row in rows]
    missing = [row.place for row, text in zip(rows, texts, strict=True) if text in _ABSENT]
    if missing:
        raise OutcomeError(
            f"no outcome under {condition} in {shown(missing)}; a paired claim needs every episode "
            "under every condition"
        )
    wrong = [
        f"{row.place} ({clipped(text)})"
        for row, text in zip(rows, texts, strict=True)
        if text not in _TRUE | _FALSE
    ]
    if wrong:
        raise OutcomeError(
            f"{condition} is not binary in {shown(wrong)}; allowed: 1, 0, true, false"
        )
    return [text in _TRUE for text in texts]


def _answers(rows: Sequence[Row]) -> tuple[str, ...]:
    texts = [_text(row.values.get(STRATUM)) for row in rows]
    wrong = [
        f"{row.place} ({clipped(text) or 'empty'})"
        for row, text in zip(rows, texts, strict=True)
        if text not in _STRATA
    ]
    if wrong:
        raise OutcomeError(f"{STRATUM} in {shown(wrong)}; allowed: {', '.join(_STRATA)}")
    return tuple(texts)


def _text(value: Any) -> str:
    """A cell as text: 1, 1.0, "1.0" and True read alike, as files of different kinds hold them."""
    text = "" if value is None else str(value).strip().lower()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text
