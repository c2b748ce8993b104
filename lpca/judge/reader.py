"""What a file of outcomes holds: a table, a run's evidence, counts, or a log of another harness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from lpca.base.files import missing, touching
from lpca.evidence.files import is_evidence, parse_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.evidence.model import Evidence
from lpca.gatespec.model import CONDITIONS, Score
from lpca.judge.age import lacking_checks
from lpca.judge.formats import (
    LARGEST,
    csv_rows,
    decoded,
    json_lines,
    kind_of,
    parquet_rows,
    parsed,
    refuse_larger,
)
from lpca.judge.logs import (
    inspect_rows,
    inspect_samples,
    is_inspect,
    is_lm_eval,
    lm_eval_rows,
    metric_of,
    zipped_rows,
)
from lpca.judge.marginals import Attempt, Marginals, attempts_of, is_counts, marginals_of
from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, printable, shown
from lpca.judge.rows import (
    CONDITION,
    DONOR,
    GROUP,
    KEYS,
    OUTCOME,
    REPEAT,
    STRATUM,
    Reading,
    Row,
    table_of,
)

_SCORES: tuple[Score, ...] = ("likelihood", "greedy")
"""Those of which every evidence keeps the successes."""


@dataclass(frozen=True)
class Measured:
    """One gate's episodes at its k, as a run's evidence has them.

    Attributes:
        gate: its name.
        k: the number of latents; None where none are injected.
        table: the outcomes.
        faults: the validity checks that failed, and what the evidence contradicts itself in.
        unchecked: the validity checks that did not exist when it was written.
        spec: the hash of the spec that the run was judged by.
        explored: whether the episodes are validation's, on which nothing is decided.
    """

    gate: str
    k: int | None
    table: OutcomeTable
    faults: tuple[str, ...]
    unchecked: tuple[str, ...]
    spec: str
    explored: bool = False


@dataclass(frozen=True)
class Rows:
    """The rows of a table, or of a log of one condition that `harness` wrote."""

    rows: Sequence[Row]
    harness: str | None = None


Contents = OutcomeTable | Measured | Marginals | tuple[Attempt, ...]
_Held = Rows | Evidence | Marginals | tuple[Attempt, ...]


def read_outcomes(path: str, reading: Reading | None = None) -> Contents:
    """Read a file of outcomes.

    It holds a table in wide or in long form (CSV, JSON lines, JSON, parquet), outcomes by
    condition and seed, counts by condition (`{"normal": [11, 50]}`), published `attempts`, or a
    run's evidence; or it is a harness's log with a metric for each condition.

    Args:
        path: the file's.
        reading: what its columns are called, and whether its outcomes are marks.

    Raises:
        OutcomeError: the file cannot be read or holds nothing that may be judged; the text
            begins with the file's name.
    """
    reading = reading or Reading()
    with _named(path):
        held = _held(path, reading)
        if isinstance(held, Evidence):
            return _measured(held)
        if not isinstance(held, Rows):
            return held
        if held.harness and not CONDITIONS.among(reading.names):
            raise OutcomeError(
                f"this log of {held.harness} is of one condition; allowed: a file for each, as "
                "--as normal=FILE --as p0=FILE"
            )
        return table_of(held.rows, reading)


def read_conditions(files: Mapping[str, str], reading: Reading | None = None) -> OutcomeTable:
    """Read one file for each condition, and align them by their episodes.

    Args:
        files: by condition its file: a table, or a harness's log.
        reading: as for `read_outcomes`; `reading.metric`, or what `reading.names` has for a
            condition, is the column of its outcomes.

    Raises:
        OutcomeError: as for `read_outcomes`; or an episode is not in every file, or is another
            one: of another group, or with another right answer.
    """
    reading = reading or Reading()
    rows: list[Row] = []
    answers: dict[str, tuple[str, str]] = {}
    for condition, path in files.items():
        own = replace(reading, tell=_prefixed(path, reading.tell))
        with _named(path):
            held = _held(path, own)
            if not isinstance(held, Rows):
                raise OutcomeError(
                    f"for {condition} a table or a log is due, not evidence or counts"
                )
            rows += _of_condition(condition, path, held, own)
            for row in held.rows:
                _refuse_other_answer(row, condition, answers)
    _refuse_missing(rows, files)
    return table_of(_filled(rows), Reading(graded=reading.graded))


def _refuse_missing(rows: Sequence[Row], files: Mapping[str, str]) -> None:
    """Raise OutcomeError where a file lacks episodes that another has, or repeats of them."""
    held: dict[str, set[tuple[str, Any]]] = {condition: set() for condition in files}
    every: dict[tuple[str, Any], None] = {}
    for row in rows:
        # numbers in one file may be text in another, where not all are numbers
        one = (str(row.values["episode"]), row.values.get(REPEAT))
        held[row.values[CONDITION]].add(one)
        every[one] = None
    told = []
    for condition, path in files.items():
        if lacking := [one for one in every if one not in held[condition]]:
            named = [seed if at is None else f"{seed} {REPEAT} {at}" for seed, at in lacking]
            told.append(f"{path}: {condition} has no outcome for episodes {shown(named)}")
    if told:
        raise OutcomeError(f"{'; '.join(told)}; every condition needs the same episodes")


def _prefixed(path: str, tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: tell(f"{path}: {text}")


def _filled(rows: Sequence[Row]) -> Sequence[Row]:
    """What one file alone says of an episode, such as its group, goes for its others too."""
    known: dict[int | str, dict[str, Any]] = {}
    for row in rows:
        about = {role: row.values[role] for role in (GROUP, STRATUM, DONOR) if role in row.values}
        known.setdefault(row.values["episode"], {}).update(about)
    return [Row(row.place, {**known[row.values["episode"]], **row.values}) for row in rows]


def _of_condition(condition: str, path: str, held: Rows, reading: Reading) -> Iterator[Row]:
    """One file's rows in long form."""
    others = {role: name for role, name in reading.names.items() if role not in CONDITIONS}
    others.pop(OUTCOME, None)
    column = _outcome_column(condition, held, reading)
    table = table_of(held.rows, replace(reading, names={**others, condition: column}))
    if spare := [name for name in table.outcomes if name != condition]:
        reading.tell(f"columns left alone: {shown(spare)}")
    about = {
        GROUP: table.groups,
        STRATUM: table.answers,
        REPEAT: table.repeats,
        DONOR: table.donors,
    }
    for index, seed in enumerate(table.seeds):
        own = {name: column[index] for name, column in about.items() if column is not None}
        outcome = table.outcomes[condition][index]
        yield Row(path, {"episode": seed, CONDITION: condition, OUTCOME: outcome, **own})


def _outcome_column(condition: str, held: Rows, reading: Reading) -> str:
    """The column of a file of one condition that holds its outcomes."""
    asked = reading.names.get(condition, reading.metric)
    if held.harness:
        given = [name for role, name in reading.names.items() if role not in CONDITIONS]
        return metric_of(held.rows, asked, given)
    names = dict.fromkeys(name for row in held.rows for name in row.values)
    if CONDITION in names and OUTCOME in names:
        raise OutcomeError(f"it has a column {CONDITION}: allowed as the only file, without --as")
    for name in (asked, reading.names.get(OUTCOME)):
        if name is not None:
            return name
    for name in (OUTCOME, condition):
        if name in names:
            return name
    raise OutcomeError(
        f"its columns are {shown(list(names))}; outcomes of {condition} are due under {OUTCOME} or "
        f"{condition}, or under another column with --metric COLUMN"
    )


def _refuse_other_answer(row: Row, condition: str, answers: dict[str, tuple[str, str]]) -> None:
    """Raise OutcomeError where two logs have one id for documents with different answers."""
    if row.answer is None:
        return
    name = str(row.values["episode"])
    before, answer = answers.setdefault(name, (condition, row.answer))
    if answer != row.answer:
        raise OutcomeError(
            f"{row.place}: the target of episode {clipped(name)} is {clipped(row.answer)}, under "
            f"{before} {clipped(answer)}; allowed: logs of the same documents"
        )


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except OutcomeError as error:
        raise OutcomeError(f"{path}: {error}") from None


def _held(path: str, reading: Reading) -> _Held:
    extra = [
        name for role, name in reading.names.items() if role not in CONDITIONS and role != OUTCOME
    ]
    suffix = Path(path).suffix.lower()
    try:
        touching("read", Path(path))
        with Path(path).open("rb") as file:
            if suffix == ".eval" or file.peek(4).startswith(b"PK\3\4"):
                status, rows = zipped_rows(path, extra)
                return _of_inspect(status, rows, reading)
            data = file.read(LARGEST + 1)
    except OutcomeError:
        raise
    except FileNotFoundError:
        raise OutcomeError(missing(Path(path))) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutcomeError(f"the file cannot be read ({reason})") from None
    kind = kind_of(data, suffix)
    refuse_larger(data, kind)
    if kind == ".json":
        return _json(data, extra, reading)
    if kind == ".jsonl":
        return _jsonl(data, extra)
    return Rows(csv_rows(data) if kind == ".csv" else parquet_rows(data))


def _jsonl(data: bytes, extra: Sequence[str]) -> Rows:
    records = json_lines(data)
    first = next(records, None)
    if first is None:
        return Rows(())
    if is_lm_eval(first[1]):
        return Rows(lm_eval_rows(chain([first], records), extra), "lm-evaluation-harness")
    return Rows([_row(place, held) for place, held in chain([first], records)])


def _json(data: bytes, extra: Sequence[str], reading: Reading) -> _Held:
    held = parsed(decoded(data), 1)
    if isinstance(held, dict) and isinstance(held.get("attempts"), list):
        return attempts_of(held["attempts"])
    if is_evidence(held):
        try:
            return parse_evidence(held)
        except EvidenceError as error:
            raise OutcomeError(f"this evidence is damaged: {error}") from None
    if is_inspect(held):
        rows = inspect_rows(inspect_samples(held), extra)
        return _of_inspect(str(held["status"]), rows, reading)
    if isinstance(held, list):
        numbered = [(f"row {index}", row) for index, row in enumerate(held, start=1)]
        if held and is_lm_eval(held[0]):
            return Rows(lm_eval_rows(numbered, extra), "lm-evaluation-harness")
        return Rows([_row(place, row) for place, row in numbered])
    if isinstance(held, dict) and held and all(name in CONDITIONS for name in held):
        if not any(is_counts(value) for value in held.values()):
            return Rows(_by_condition(held))
        return marginals_of(held)
    if isinstance(held, dict) and any(isinstance(held.get(name), dict) for name in KEYS):
        return Rows(_by_column(held))
    raise OutcomeError(
        "this JSON holds no outcomes; allowed: a list of rows, outcomes by condition and seed, or "
        'counts such as {"normal": [11, 50]}'
    )


def _of_inspect(status: str, rows: Sequence[Row], reading: Reading) -> Rows:
    if status != "success":
        reading.tell(f"the run of inspect_ai did not succeed: its status is {clipped(status)}")
    return Rows(rows, "inspect_ai")


def _by_condition(columns: Mapping[str, Mapping[str, Any]]) -> Sequence[Row]:
    return [
        Row(f"{name} of seed {clipped(seed)}", {"seed": seed, CONDITION: name, OUTCOME: value})
        for name, column in columns.items()
        for seed, value in column.items()
    ]


def _by_column(columns: Mapping[str, Mapping[str, Any]]) -> Sequence[Row]:
    """As pandas writes a table in JSON: by column, and there by the index of the row."""
    if not all(isinstance(column, dict) for column in columns.values()):
        raise OutcomeError("a column is no object as the others are; allowed: all by index")
    rows = dict.fromkeys(index for column in columns.values() for index in column)
    return [
        Row(f"row {clipped(index)}", {name: column.get(index) for name, column in columns.items()})
        for index in rows
    ]


def _row(place: str, held: Any) -> Row:
    if not isinstance(held, dict):
        raise OutcomeError(f"{place} is no object; allowed: {{'seed': 1, 'normal': true, ...}}")
    return Row(place, held)


def _measured(evidence: Evidence) -> Measured:
    faults = [printable(f"{one.title}: {one.detail}") for one in evidence.failed_checks]
    owed, younger = lacking_checks(evidence, is_hashed=False)
    faults += [f"{name}: not carried out" for name in owed]
    return Measured(
        evidence.gate,
        evidence.k,
        table_of_evidence(evidence),
        (*faults, *contradictions(evidence)),
        tuple(younger),
        evidence.hashes.spec,
        bool(evidence.split),
    )


def contradictions(evidence: Evidence) -> Iterator[str]:
    """Outcomes that are not what their own scores say, and numbers that are not of the outcomes.

    The right option alone has the highest score where an outcome is a success.
    """
    for name, numbers in evidence.conditions.items():
        kept = [
            answer
            for one in evidence.episodes
            if (found := one.outcomes.get(name))
            for answer in found.readings
        ]
        for score in _SCORES:
            told = (numbers.under(score).successes, numbers.n)
            counted = (sum(outcome.success(score) for outcome in kept), len(kept))
            if told != counted:
                yield (
                    f"{name} is said to succeed {told[0]} times of {told[1]} ({score}), its "
                    f"episodes do {counted[0]} times of {counted[1]}"
                )
        wrong = []
        for episode in evidence.episodes:
            found = episode.outcomes.get(name)
            if found is None or episode.answer is None or not found.scores:
                continue
            ranks = found.ranked or found.scores
            best = [i for i, rank in enumerate(ranks) if rank >= max(ranks)]
            if found.likelihood != (best == [episode.answer]):
                wrong.append(episode.seed)
        if wrong:
            yield f"outcomes under {name} are not what their scores say: episodes {shown(wrong)}"


def table_of_evidence(evidence: Evidence) -> OutcomeTable:
    """The outcomes of a run's episodes.

    Raises:
        OutcomeError: as for `table_of`.
    """
    groups = {one.seed: one.shared for one in evidence.episodes}
    rows = []
    times = evidence.repeats or 1
    for index, episode in enumerate(evidence.episodes, start=1):
        about: dict[str, Any] = {"seed": episode.seed, STRATUM: episode.answers}
        if episode.shared is not None:
            about[GROUP] = episode.shared
        answers = {name: found.readings for name, found in episode.outcomes.items()}
        if short := [name for name, found in answers.items() if len(found) != times]:
            raise OutcomeError(f"episode {index}: {short[0]:.40} has not {times} answers")
        for repeat in range(times):
            own = {name: found[repeat].success(evidence.score) for name, found in answers.items()}
            which = {REPEAT: str(repeat)} if times > 1 else {}
            rows.append(Row(f"episode {index}", {**about, **which, **own}))
    table = table_of(rows, Reading(graded=evidence.score == "graded"))
    table = replace(table, undecided=_undecided(evidence))
    episodes = [one for one in evidence.episodes for _ in range(times)]
    donors = tuple(one.donor for one in episodes)
    if table.groups is None:
        return replace(table, donors=donors)
    # older evidence does not keep the group of a donor that is none of its episodes
    donor_groups = (
        one.donor_group or groups.get(one.donor) or f"episode {one.donor}" for one in episodes
    )
    return replace(table, donors=donors, donor_groups=tuple(donor_groups))


def _undecided(evidence: Evidence) -> dict[str, tuple[int, ...]]:
    """By condition the numbers of its undecided answers, as `OutcomeTable` has them."""
    found = {
        name: tuple(
            answer.undecided or 0
            for episode in evidence.episodes
            for answer in episode.outcomes[name].readings
        )
        for name in evidence.conditions
        if all(name in episode.outcomes for episode in evidence.episodes)
    }
    return {name: numbers for name, numbers in found.items() if any(numbers)}
