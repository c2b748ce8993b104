"""From the rows of a file to a table that a gate is decided from: which column is what.

In wide form a row is an episode and a column a condition; in long form a row is one outcome of one
episode under one condition. Either way the table is paired: every outcome that is missing, is none
or stands twice is named with its place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from lpca.base.registry import suggestion
from lpca.gatespec.model import CONDITIONS
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, shown

KEYS = ("seed", "episode")
"""What the column is called that names a row's episode."""
GROUP, REPEAT, STRATUM = "group", "repeat", "answers"
DONOR = "donor"
"""The episode whose message a row's shuffled one is."""
CONDITION, OUTCOME = _LONG = ("condition", "outcome")
"""The two columns by which long form is known."""
_ABOUT = (*KEYS, GROUP, REPEAT, STRATUM, DONOR)
ROLES = (*_ABOUT, *_LONG)
"""What a column may be, beside a condition."""
_STRATA = ("seen", "unseen")
_TRUE = frozenset({"1", "true"})
_FALSE = frozenset({"0", "false"})
_ABSENT = frozenset({"", "none", "null", "nan", "na"})
"""Outcomes that are none; as the name of an episode or of a group all but the first are names."""
_WHOLE = re.compile(r"(-?[0-9]+)\.0*")
_LONGEST_NUMBER = 18
_INDEX = re.compile(r"|Unnamed: \d+(\.\d+)*|__index_level_\d+__")
"""How pandas writes the column of an index without a name."""
_ALIKE = 0.75
"""How near a column's name is to a condition's that it is taken for a slip."""


@dataclass(frozen=True)
class Row:
    """One row as its file has it.

    `place` is how messages name it, `answer` the right answer as a log has it: files of the same
    episodes have the same.
    """

    place: str
    values: Mapping[str, Any]
    answer: str | None = None


@dataclass(frozen=True)
class Reading:
    """How rows are to be read.

    Attributes:
        names: by what a column is to lpca (`episode`, `group`, a condition), what it is called
            in the file; in long form a condition's name is that among the values of `condition`.
        metric: the column of outcomes of a file that holds those of one condition.
        graded: whether outcomes are marks in [0, 1].
        tell: takes one line on what was left alone or taken for granted.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    metric: str | None = None
    graded: bool = False
    tell: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class _Column:
    """A column: one value for each row, and the places of the rows."""

    name: str
    values: Sequence[Any]
    places: Sequence[str]


def table_of(rows: Sequence[Row], reading: Reading | None = None) -> OutcomeTable:
    """Check rows, in wide or in long form, and pair them.

    Args:
        rows: of all files, as they were read.
        reading: what their columns are called, and whether outcomes are marks.

    Raises:
        OutcomeError: no rows, no column of episodes or of outcomes, a missing outcome, a
            duplicated episode, an episode in two groups or an outcome that is none; the first
            few such rows are named.

    Example:
        >>> rows = [Row("line 2", {"episode": "a", "p0": 0, "normal": 1, "comment": "-"})]
        >>> table_of(rows).outcomes
        {'p0': (False,), 'normal': (True,)}
    """
    reading = reading or Reading()
    if not rows:
        raise OutcomeError("there is no row; one per episode is expected")
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    chosen = _chosen(names, reading)
    places = [row.place for row in rows]
    columns = {
        role: _Column(name, [row.values.get(name) for row in rows], places)
        for role, name in chosen.items()
    }
    key = next(name for name in KEYS if name in chosen)
    episodes = _episodes(columns[key])
    about = {role: _texts(columns[role]) for role in (GROUP, REPEAT, STRATUM) if role in columns}
    if STRATUM in columns:
        about[STRATUM] = [text.lower() for text in about[STRATUM]]
        _refuse_others(columns[STRATUM], about[STRATUM], _STRATA)
    for role in (GROUP, STRATUM):
        if role in columns:
            _refuse_torn(columns[role], about[role], key, episodes)
    if DONOR in columns:
        about[DONOR] = _donors(columns, episodes, about.get(REPEAT))
        own = [
            place
            for place, donor, episode in zip(places, about[DONOR], episodes, strict=True)
            if donor == str(episode)
        ]
        if own:
            raise OutcomeError(
                f"{columns[DONOR].name} in {shown(own)} is the episode itself, whose own message "
                "is none of another; allowed: another episode"
            )
    units = _Units(key, episodes, about, places)
    if OUTCOME in columns:
        return _pivoted(units, columns[CONDITION], columns[OUTCOME], reading)
    outcomes = {
        name: _outcomes(column, reading.graded)
        for name, column in columns.items()
        if name in CONDITIONS
    }
    _refuse_duplicates(units)
    return units.table(range(len(rows)), outcomes, reading.graded)


@dataclass(frozen=True)
class _Units:
    """What each row says of its episode; `about` holds its group, repeat, stratum and donor."""

    key: str
    episodes: Sequence[int | str]
    about: Mapping[str, Sequence[str]]
    places: Sequence[str]

    def named(self, index: int) -> str:
        """A row's episode, and which repeat of it, for a message."""
        repeat = f" {REPEAT} {self.about[REPEAT][index]}" if REPEAT in self.about else ""
        return f"{self.episodes[index]}{repeat}"

    def ids(self) -> Sequence[tuple[int | str, str]]:
        """By row, which reading of which episode it is."""
        repeats = self.about.get(REPEAT, [""] * len(self.episodes))
        return list(zip(self.episodes, repeats, strict=True))

    def table(
        self, kept: Sequence[int], outcomes: Mapping[str, Sequence[float]], graded: bool
    ) -> OutcomeTable:
        """The table of these rows, whose outcomes are given."""
        about = {
            role: tuple(self.about[role][index] for index in kept) if role in self.about else None
            for role in (GROUP, REPEAT, STRATUM)
        }
        seeds = tuple(self.episodes[index] for index in kept)
        donors = self._donors(kept)
        groups = dict(zip(map(str, seeds), about[GROUP] or (), strict=False))
        donor_groups = None
        if donors is not None and groups:
            # a donor may be none of these episodes
            donor_groups = tuple(groups.get(str(one), f"episode {one}") for one in donors)
        return OutcomeTable(
            seeds,
            {name: tuple(values) for name, values in outcomes.items()},
            answers=about[STRATUM],
            groups=about[GROUP],
            donors=donors,
            donor_groups=donor_groups,
            # episodes that are read once each have no repeats, whatever the column says
            repeats=about[REPEAT] if len(set(seeds)) < len(seeds) else None,
            graded=graded,
        )

    def _donors(self, kept: Sequence[int]) -> tuple[int | str, ...] | None:
        """The donors of these rows, called as the episodes are."""
        if DONOR not in self.about:
            return None
        called = {str(episode): episode for episode in self.episodes}
        return tuple(called.get(text, text) for text in map(self.about[DONOR].__getitem__, kept))


def _donors(
    columns: Mapping[str, _Column], episodes: Sequence[int | str], repeats: Sequence[str] | None
) -> list[str]:
    """By row the donor; in long form it need only stand beside one condition of an episode."""
    column = columns[DONOR]
    if OUTCOME not in columns:
        return _texts(column)
    ids = list(zip(episodes, repeats or [""] * len(episodes), strict=True))
    texts = [_name(value) for value in column.values]
    known = {one: text for one, text in zip(ids, texts, strict=True) if text}
    return _texts(_Column(column.name, [known.get(one, "") for one in ids], column.places))


def _chosen(names: Sequence[str], reading: Reading) -> dict[str, str]:
    """By what it is to lpca, the file's column; the others are named and left alone."""
    given = reading.names
    is_long = all(given.get(role, role) in names for role in (CONDITION, OUTCOME))
    conditions = [] if is_long else CONDITIONS.among((*CONDITIONS, *names, *given))
    roles = [*_ABOUT, *(_LONG if is_long else ()), *conditions]
    for role in given:
        if role in _LONG and not is_long and given[role] in names:
            other = next(one for one in _LONG if given.get(one, one) not in names)
            raise OutcomeError(
                f"{role} is a column of long form, which has {' and '.join(_LONG)}; there is no "
                f"column {clipped(given.get(other, other))!r} for {other}; {_allowed(names)}"
            )
        if given[role] not in names and not (is_long and role in CONDITIONS):
            raise OutcomeError(
                f"there is no column {clipped(given[role])!r} for {role}; {_allowed(names)}"
            )
    taken = set(given.values())
    chosen = {
        role: given.get(role, role)
        for role in roles
        if role in given or (role in names and role not in taken)
    }
    keys = [role for role in KEYS if role in given] or [role for role in KEYS if role in chosen]
    indices = [name for name in names if _INDEX.fullmatch(name)]
    if not keys and len(indices) == 1 and not is_long:
        reading.tell("episodes are named by the column of the index")
        keys, chosen["episode"] = ["episode"], indices[0]
    if len(keys) != 1:
        raise OutcomeError(
            f"the columns are {shown(names)}; exactly one of {' and '.join(KEYS)} is due, or "
            "--map episode=COLUMN"
        )
    chosen = {role: name for role, name in chosen.items() if role not in KEYS or role == keys[0]}
    unused = [name for name in names if name not in chosen.values() and name not in indices]
    if not is_long and not CONDITIONS.among(chosen):
        hint = f"unknown column {clipped(unused[0])!r}; " if unused else ""
        hint += suggestion(unused[0] if unused else "", CONDITIONS)
        raise OutcomeError(f"there is no column of outcomes; {hint}; or --map CONDITION=COLUMN")
    if unused:
        free = () if is_long else [name for name in CONDITIONS if name not in chosen]
        reading.tell(f"columns left alone: {shown([_with_slip(name, free) for name in unused])}")
    return chosen


def _allowed(names: Collection[str]) -> str:
    return f"allowed: {shown([name or 'the first, which has no name' for name in names])}"


def _with_slip(name: str, free: Collection[str]) -> str:
    near = get_close_matches(name[:40].lower(), free, n=1, cutoff=_ALIKE)
    return f"{clipped(name)} (did you mean {near[0]}?)" if near else name


def _episodes(column: _Column) -> Sequence[int | str]:
    """The name of each row's episode, as a number where all are numbers."""
    texts = _texts(column)
    if all(text.isdecimal() and len(text) <= _LONGEST_NUMBER for text in texts):
        return [int(text) for text in texts]
    return texts


def _texts(column: _Column) -> list[str]:
    """Names as they are written; OutcomeError where there is none."""
    texts = [_name(value) for value in column.values]
    if nameless := _where(texts, lambda text: not text, column.places):
        raise OutcomeError(f"no {column.name} in {shown(nameless)}; every row needs one")
    return texts


def _name(value: Any) -> str:
    """Text of a name; empty where there is none. 1, 1.0 and "1.0" are one name, a and A two."""
    if value is None or isinstance(value, bool | list | dict) or value != value:
        return ""
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _refuse_others(column: _Column, texts: Sequence[str], allowed: Collection[str]) -> None:
    if wrong := _others(column, texts, allowed):
        raise OutcomeError(f"{column.name} in {shown(wrong)}; allowed: {', '.join(allowed)}")


def _refuse_torn(
    column: _Column, texts: Sequence[str], key: str, episodes: Sequence[int | str]
) -> None:
    """Raise OutcomeError where two rows of one episode differ in what an episode has one of."""
    first: dict[int | str, int] = {}
    for index, (episode, text) in enumerate(zip(episodes, texts, strict=True)):
        before = first.setdefault(episode, index)
        if texts[before] != text:
            raise OutcomeError(
                f"{column.places[index]}: {column.name} of {key} {clipped(str(episode))} is "
                f"{clipped(text)!r}, in {column.places[before]} {clipped(texts[before])!r}; "
                "an episode has one"
            )


def _refuse_duplicates(units: _Units) -> None:
    ids = units.ids()
    twice = {one for one, count in Counter(ids).items() if count > 1}
    repeated = [
        f"{place} ({units.key} {units.named(index)})"
        for index, (one, place) in enumerate(zip(ids, units.places, strict=True))
        if one in twice
    ]
    if repeated:
        raise OutcomeError(
            f"duplicated episodes: {shown(repeated)}; one row each is allowed, or one for each "
            f"value of a column {REPEAT}"
        )


def _pivoted(units: _Units, labels: _Column, outcomes: _Column, reading: Reading) -> OutcomeTable:
    """From long form: one row for each episode and repeat, one column for each condition."""
    mine = {name: role for role, name in reading.names.items() if role in CONDITIONS}
    labelled = _texts(labels)
    if absent := [name for name in mine if name not in labelled]:
        raise OutcomeError(
            f"there is no {labels.name} {clipped(absent[0])!r} for {mine[absent[0]]}; "
            f"{_allowed(list(dict.fromkeys(labelled)))}"
        )
    # a condition that is called otherwise is not what has its name, as in wide form
    own = CONDITIONS.among(labelled)
    roles = {name: name for name in own if name not in reading.names} | mine
    known = [index for index, text in enumerate(labelled) if text in roles]
    strange = list(dict.fromkeys(text for text in labelled if text not in roles))
    if not known:
        raise OutcomeError(
            f"{labels.name} is {shown(strange)}; {suggestion(strange[0], CONDITIONS)}; "
            "or --map CONDITION=NAME"
        )
    if strange:
        reading.tell(f"conditions left alone: {shown(strange)}")
    column = _Column(
        outcomes.name,
        [outcomes.values[index] for index in known],
        [outcomes.places[index] for index in known],
    )
    ids = units.ids()
    cells: dict[str, dict[tuple[int | str, str], float]] = {}
    first: dict[tuple[int | str, str], int] = {}
    places: dict[tuple[str, tuple[int | str, str]], str] = {}
    for index, value in zip(known, _outcomes(column, reading.graded), strict=True):
        name = roles[labelled[index]]
        at = (name, ids[index])
        if at in places:
            raise OutcomeError(
                f"{places[at]} and {units.places[index]} are both {name} of {units.key} "
                f"{clipped(units.named(index))}; one outcome each is allowed, or one for each "
                f"value of a column {REPEAT}"
            )
        places[at] = units.places[index]
        first.setdefault(ids[index], index)
        cells.setdefault(name, {})[ids[index]] = value
    gaps = {
        name: [units.named(first[one]) for one in first if one not in held]
        for name, held in cells.items()
    }
    if any(gaps.values()):
        told = [
            f"{name} has no outcome for {units.key}s {shown(m)}" for name, m in gaps.items() if m
        ]
        raise OutcomeError(f"{'; '.join(told)}; every condition needs the same {units.key}s")
    table = {name: [held[one] for one in first] for name, held in cells.items()}
    return units.table(list(first.values()), table, reading.graded)


def _outcomes(column: _Column, graded: bool) -> list[float]:
    """The outcomes of a column: true or false, or marks in [0, 1]."""
    texts = [_text(value) for value in column.values]
    if missing := _where(texts, _ABSENT.__contains__, column.places):
        raise OutcomeError(
            f"no outcome under {column.name} in {shown(missing)}; a paired claim needs every "
            "episode under every condition"
        )
    if graded:
        marks = [_mark(text) for text in texts]
        wrong = [
            f"{place} ({clipped(text)})"
            for place, text, mark in zip(column.places, texts, marks, strict=True)
            if mark is None
        ]
        if wrong:
            raise OutcomeError(
                f"{column.name} is no mark in {shown(wrong)}; allowed: numbers from 0 to 1"
            )
        return [mark for mark in marks if mark is not None]
    if wrong := _others(column, texts, _TRUE | _FALSE):
        others = [text for text in texts if text not in _TRUE | _FALSE]
        advice = (
            "; for marks in [0, 1] the spec's evaluation needs score: graded"
            if all(_mark(text) is not None for text in others)
            else ""
        )
        raise OutcomeError(
            f"{column.name} is not binary in {shown(wrong)}; allowed: 1, 0, true, false{advice}"
        )
    return [text in _TRUE for text in texts]


def _mark(text: str) -> float | None:
    if text in _TRUE or text in _FALSE:
        return float(text in _TRUE)
    try:
        mark = float(text)
    except ValueError:
        return None
    return mark if 0.0 <= mark <= 1.0 else None


def _where(
    texts: Sequence[str], is_wrong: Callable[[str], bool], names: Sequence[str]
) -> list[str]:
    """The names of the rows whose text is wrong."""
    return [name for name, text in zip(names, texts, strict=True) if is_wrong(text)]


def _others(column: _Column, texts: Sequence[str], allowed: Collection[str]) -> list[str]:
    """The rows whose text is none of those allowed, each with it."""
    pairs = zip(column.places, texts, strict=True)
    return [f"{place} ({clipped(text) or 'empty'})" for place, text in pairs if text not in allowed]


def _text(value: Any) -> str:
    """An outcome as text: 1, 1.0, "1.0" and True read alike, as files of all kinds hold them."""
    text = "" if value is None else str(value).strip().lower()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text
