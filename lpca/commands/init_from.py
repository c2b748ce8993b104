"""`lpca init --from`: a project around somebody's rows, and a page of what was decided, and why."""

from __future__ import annotations

import json
import shlex
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lpca.base.errors import RequestError
from lpca.base.files import cache_dir
from lpca.base.numbers import PERCENT, POINTS, percent, plural, points, span
from lpca.base.registry import suggestion
from lpca.base.tables import Limits, Record, Source, records, shown_source, source_at, value_at
from lpca.checker.check import tally
from lpca.checker.propose import Proposal, Rates, proposed
from lpca.commands.cli import tell
from lpca.commands.init import project_files
from lpca.commands.plan import power_table
from lpca.report.layout import wrapped
from lpca.stats.proportions import tango, wilson
from lpca.stats.tables import PairedTable
from lpca.tasks import (
    MAX_OPTIONS,
    MAX_TASK_SEED,
    MIN_OPTIONS,
    SPLITS,
    Episode,
    EpisodeSet,
    TaskError,
    message_key,
    split_by_hash,
)
from lpca.tasks.distractors import fine_kind, with_options
from lpca.tasks.fields import CONTEXT, MARK, PLAIN, Columns, Row
from lpca.tasks.kinds.episodes import Episodes
from lpca.tasks.rows import MAX_BYTES, MAX_LINE, MAX_ROWS, look_at_rows
from lpca.validity.rows import MENDED, Table, Unread, cleaned, plain, row_findings

MEASURED = 50
"""Validation episodes on which p0 and p1 are estimated."""
FEWEST_MEASURED = 10
"""Fewer validation episodes tell nothing."""
FEWEST = 40
"""Test episodes with which a project is made at all."""
LONG = 50
"""Words of the median message from which on it is called long, and k is larger."""
KS = (8, 32)
"""How many positions a packet has, for short messages and for long ones."""
EPISODES, STUB = "episodes.jsonl", "stub"
LIMITS = Limits(MAX_BYTES, MAX_LINE, MAX_ROWS)


@dataclass(frozen=True)
class Asked:
    """What the command line says.

    Args:
        source: the table: a file, or `hf:NAME`.
        columns: `--map`, as it is written; None where columns are called as fields are.
        context: B's text with `{message}` and `{question}`.
        receiver: which receiver the rates are measured on; None: the stub, where it can read them.
        options: how many options a row gets that names none.
        n: episodes a gate; None: as many as the power asks for.
        seed: of the distractors and of the test episodes.
    """

    source: str
    columns: str | None = None
    context: str | None = None
    receiver: str | None = None
    options: int = 4
    n: int | None = None
    seed: int = 1


@dataclass
class Decided:
    """What was found and decided on the way, for the page that says why."""

    name: str
    rows: int = 0
    left: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    kept: list[Row] = field(default_factory=list)
    drawn: int = 0
    available: int = 0
    measured: list[str] = field(default_factory=list)
    """What B knows, as the page has it."""
    warning: str = ""


def project_of(asked: Asked) -> tuple[Mapping[str, bytes], Sequence[str]]:
    """Return the files of a project around rows, and what is to be said of it.

    Args:
        asked: whose rows, and how.

    Returns:
        The files that are not as a sample's, by name; and lines for the terminal.

    Raises:
        RequestError: the table cannot be read, or too few rows are left.
    """
    if not MIN_OPTIONS <= asked.options <= MAX_OPTIONS:
        raise RequestError(f"--options {asked.options}: allowed: {MIN_OPTIONS} to {MAX_OPTIONS}")
    if not 0 <= asked.seed <= MAX_TASK_SEED:
        raise RequestError(f"--seed {asked.seed}: allowed: 0 to {MAX_TASK_SEED}")
    columns = _columns(asked)
    source = source_at(asked.source, Path())
    decided = Decided(shown_source(source))
    rows = _rows(source, columns, asked, decided)
    decided.kept = rows
    task = Episodes(Path(EPISODES), tuple(rows), asked.options)
    decided.available = _available(task, asked, decided)
    if asked.n is not None and not FEWEST <= asked.n <= decided.available:
        raise RequestError(f"--n {asked.n}: allowed: {FEWEST} to {decided.available} test episodes")
    rates = _rates(task, asked, decided)
    first = Proposal(
        rates,
        n=asked.n or decided.available,
        k=KS[_median(rows) >= LONG],
        seed=asked.seed,
        grouped=len({row.group for row in rows}) < len(rows),
    )
    proposal = proposed(first, asked.n or decided.available)
    if asked.n is not None:
        proposal = replace(proposal, n=asked.n)
    if not proposal.sound:
        decided.warning = decided.warning or (
            f"{decided.available} test episodes are too few for what text adds here "
            f"({points(rates.gain)}): lpca check says how many each claim needs"
        )
    ini = project_files()["pytest.ini"].decode()
    files = {
        "pytest.ini": ini.replace(f"--receiver {STUB}", f"--receiver {_named(asked)}").encode(),
        EPISODES: _jsonl(rows),
        "gate_specs.yaml": proposal.text.encode(),
        "README.md": _page(asked, decided, proposal).encode(),
    }
    return files, _told(decided, proposal)


def _columns(asked: Asked) -> Columns:
    """Which column is which field, as `--map` says."""
    if asked.columns is None:
        return PLAIN if asked.context is None else Columns(context=asked.context)
    paths: dict[str, str] = {}
    for part in asked.columns.split(","):
        name, equals, path = (piece.strip() for piece in part.partition("="))
        if not (name and equals and path):
            raise RequestError(
                f"--map: {part.strip()!r:.60} is no FIELD=COLUMN; allowed: "
                "message=...,question=...,answer=... and so on"
            )
        if name in paths:
            raise RequestError(f"--map: {name!r:.60} stands twice; allowed: once")
        paths[name] = path
    try:
        columns = Columns(paths, asked.context or CONTEXT)
    except TaskError as error:
        option = "--context" if error.setting == "context" else "--map"
        raise RequestError(f"{option}: {error}") from None
    lacking = [name for name in ("message", "answer") if name not in paths]
    if not {"question", "context"} & paths.keys():
        lacking.append("question")
    if lacking:
        raise RequestError(
            f"--map: no column is named for {', '.join(lacking)}; allowed: message, answer, and "
            "question or context, each FIELD=COLUMN"
        )
    return columns


def _rows(source: Source, columns: Columns, asked: Asked, decided: Decided) -> list[Row]:
    """The rows that can serve, each with options; what is left out is counted, with its reasons."""
    try:
        read = look_at_rows(source, columns)
    except TaskError as error:
        if error.setting == "map":
            _refuse_columns(source, columns)
        raise
    decided.rows = read.count
    if not read.rows:
        raise RequestError(read.complaint or f"{decided.name}: it holds no row")
    unread = _unread(asked)
    table = Table(read, columns, asked.options)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / EPISODES
        while True:
            findings = row_findings(table, unread)
            done = cleaned(table, findings)[1]
            if not done.total():
                break
            for one in (one for one in findings if one.severity == "error"):
                at = f"{one.position}: " if table.read is read else ""
                decided.first.setdefault(one.rule, at + one.wrong)
            decided.left += done
            faulty = {one.row for one in findings if one.severity == "error"}
            place.write_bytes(_jsonl([row for row in table.read.rows if row.line not in faulty]))
            table = Table(look_at_rows(place), PLAIN, asked.options)
    rows = list(table.read.rows)
    served = with_options(rows, asked.options, asked.seed)
    if alone := len(rows) - len(served):
        decided.left["no-other-answer"] += alone
        decided.first["no-other-answer"] = "no answer of another row can stand beside theirs"
    decided.drawn = sum(not row.options and not row.distractors for row in rows) - alone
    return served


def _named(asked: Asked) -> str:
    """The receiver as a project elsewhere names it."""
    name = asked.receiver or STUB
    return shlex.quote(str(Path(name).resolve()) if Path(name).is_dir() else name)


def _refuse_columns(source: Source, columns: Columns) -> None:
    """Raise RequestError where a column is named that no row of the table has."""
    held = next(iter(records(source, LIMITS)), None)
    if not isinstance(held, Record):
        return
    for name, paths in columns.paths.items():
        for path in paths.split("+"):
            try:
                value_at(held.held, path.strip())
            except LookupError:
                raise RequestError(
                    f"--map: {name}={path.strip()!s:.60}: {shown_source(source)} has no such "
                    f"column; {suggestion(path.strip(), list(held.held))}"
                ) from None


def _unread(asked: Asked) -> Unread | None:
    """What the named receiver cannot read; None where none is named."""
    if asked.receiver is None:
        return None
    from lpca.receivers.load import load_outline
    from lpca.receivers.model import why_unread

    receiver = load_outline(asked.receiver)
    return lambda episode: why_unread(receiver, episode, KS[-1])


def _jsonl(rows: Sequence[Row]) -> bytes:
    """Rows as a file of the task `episodes` has them, without hidden characters."""
    held = (json.dumps(plain(_held(row)), ensure_ascii=False) for row in rows)
    return "".join(f"{line}\n" for line in held).encode()


def _held(row: Row) -> dict[str, Any]:
    marks = [f"{{message:{sender + 1}}}" for sender in row.order] or [MARK]
    # where nothing stands before the mark a row has a line break
    context = ["" if row.before == "\n" else row.before, *row.context[1:]]
    pairs = zip(context, [*marks, ""], strict=True)
    told: dict[str, Any] = {"id": row.id} if row.id else {}
    told |= {
        "message": list(row.senders) or row.message,
        "context": "".join(text + mark for text, mark in pairs),
        "answer": [row.answer, *row.also] if row.also else row.answer,
    }
    more = {"options": row.options, "distractors": row.distractors, "kind": row.kind}
    told |= {name: held for name, held in {**more, "public": row.public}.items() if held}
    if row.group != message_key(row.message):
        told["group"] = row.group
    return told


def _available(task: Episodes, asked: Asked, decided: Decided) -> int:
    """As many test episodes as have donors among one another."""
    rows = [row for row in task.rows if split_by_hash(row.group) == "test"]
    n = len(rows) - len(rows) % 2
    while n >= FEWEST:
        try:
            return len(task.evaluation_set("test", "all", n, asked.seed))
        except TaskError:
            n -= max(2, n // 20 // 2 * 2)
    rule = next((rule for rule, _ in decided.left.most_common() if rule in decided.first), None)
    first = f", the first: {decided.first[rule]}" if rule else ""
    raise RequestError(
        f"{plural(len(task.rows), 'row')} can serve, {len(rows)} of them for the test; allowed: "
        f"{FEWEST} test episodes with donors or more, so about {FEWEST * 10 // 3} rows in as many "
        f"groups; left out: {_left(decided)}{first}"
    )


def _rates(task: Episodes, asked: Asked, decided: Decided) -> Rates:
    """Success without a message, with it, and with another's, on validation episodes."""
    chance = statistics.mean(1 / (len(row.options) or asked.options) for row in task.rows)
    supposed = Rates(round(chance, 2), 0.85, round(chance / 2, 2))
    own = {row.line for row in task.rows if split_by_hash(row.group) == "validation"}
    if len(own) < FEWEST_MEASURED:
        decided.measured = [f"Nothing was measured: {len(own)} rows for validation are too few."]
        return supposed
    from lpca.evaluation.conditions import Setting
    from lpca.evaluation.evaluate import evaluate
    from lpca.receivers.load import load_receiver
    from lpca.receivers.self_test import prove_for

    episodes = task.evaluation_set("validation", "all", min(MEASURED, len(own)), asked.seed)
    others = EpisodeSet(tuple(_misled(task, one) for one in episodes), episodes.donors)
    receiver = load_receiver(asked.receiver or STUB)
    try:
        prove_for(receiver, [*episodes, *others], KS[-1], tell)
    except RequestError as error:
        if asked.receiver is not None:
            raise
        decided.warning = "the stub cannot read these rows; name a real receiver with --receiver"
        decided.measured = [f"Nothing was measured: {error}."]
        return supposed
    cache = cache_dir()
    seen = evaluate(Setting(receiver, None, episodes), ["p0", "p1"], cache).outcomes
    donors = evaluate(Setting(receiver, None, others), ["p1"], cache).outcomes["p1"]
    p0, p1, other = (
        [one.likelihood_success for one in outcomes]
        for outcomes in (seen["p0"], seen["p1"], donors)
    )
    n, gain = len(episodes), PairedTable.from_outcomes(p1, p0)
    apart = tango(gain)
    lines = []
    for name, outcomes in (
        ("without a message (`p0`)", p0),
        ("with it as text (`p1`)", p1),
        ("with another's as text", other),
    ):
        right, interval = sum(outcomes), wilson(sum(outcomes), n)
        lines.append(
            f"- {name}: {right} of {n}, {percent(right / n)} (95 % interval "
            f"{span(interval.low, interval.high, PERCENT)})"
        )
    lines.append(
        f"- text adds {points(gain.difference)} (95 % interval "
        f"{span(apart.low, apart.high, POINTS)})"
    )
    decided.measured = lines
    if apart.low <= 0:
        decided.warning = (
            f"B cannot read this text: with the message it is right {sum(p1)} times of {n}, "
            f"without {sum(p0)}, which luck explains; take a larger receiver, shorter messages or "
            "other options. No channel can show anything here"
        )
    return Rates.counted(sum(p0), sum(p1), sum(other), n)


def _misled(task: Episodes, episode: Episode) -> Episode:
    """The same episode with the message of a row whose answer is one of its wrong options."""
    key = message_key(episode.message)
    others = (
        row
        for row in task.rows
        if row.answer in episode.options
        and row.answer != episode.right
        and message_key(row.message) != key
        and split_by_hash(row.group) == "validation"
    )
    found = next(others, None)
    return episode if found is None else episode.telling(found.senders or (found.message,))


def _told(decided: Decided, proposal: Proposal) -> list[str]:
    """What is said at the terminal."""
    rates = proposal.rates
    known = f"from {rates.n} validation episodes" if rates.n else "supposed, not measured"
    lines = [
        f"{len(decided.kept)} of {decided.rows} rows of {decided.name}"
        + (f"; left out: {_left(decided)}" if decided.left else ""),
        f"expected: p0 {percent(rates.p0)}, p1 {percent(rates.p1)}, {known}",
        f"n {proposal.n} of {decided.available} test episodes, k {proposal.k}",
        f"lpca check: {tally(proposal.findings) if proposal.findings else 'no findings'}",
    ]
    return [*lines, *([f"WARNING: {decided.warning}."] if decided.warning else [])]


def _left(decided: Decided) -> str:
    left = {rule: count for rule, count in decided.left.most_common() if rule != MENDED}
    return ", ".join(f"{count} {rule}" for rule, count in left.items()) or "none"


def _page(asked: Asked, decided: Decided, proposal: Proposal) -> str:
    """The page of what was decided, and why."""
    rows, rates, receiver = decided.kept, proposal.rates, asked.receiver or STUB
    groups = Counter(row.group for row in rows)
    named = any(row.group != message_key(row.message) for row in rows)
    splits = {split: [row for row in rows if split_by_hash(row.group) == split] for split in SPLITS}
    sizes = "; ".join(
        f"{split} {plural(len(own), 'row')} in {plural(len({row.group for row in own}), 'group')}"
        for split, own in splits.items()
    )
    kinds = Counter(fine_kind(row.answer) for row in rows)
    most = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(6))
    low, high = proposal.band
    within = f"from {percent(low)} to {percent(high)}" if low else f"below {percent(high)}"
    left = [
        f"- {count} {rule}, the first: {decided.first[rule]}"
        for rule, count in decided.left.most_common()
        if rule in decided.first
    ]
    misled = (
        "must be shown below `p0`: another's message misleads B"
        if proposal.helps == 0.0
        else f"must be less than {points(proposal.helps)} above `p0`: that another's message "
        "misleads B could not be shown here"
    )
    drawn = (
        f"{decided.drawn} rows named no options and got {asked.options}, drawn with seed "
        f"{asked.seed}: the answer of a partner row, which gets this one's, and answers of rows of "
        "the same split and kind. None contains another or stands in the question. Whether one is "
        "right all the same, lpca cannot know: read some."
        if decided.drawn
        else "Every row names its own options or distractors."
    )
    parts = [
        f"# Gates of a latent channel, around {decided.name}",
        "`pytest gates/` decides whether the receiver uses what the codec sends, as "
        "`gate_specs.yaml` has it. This page says what `lpca init --from` decided, and why. Your "
        "codec and receiver go where `pytest.ini` says *yours*. Commit `.lpca/ledger/`: it "
        "remembers how often these episodes were looked at.",
        f"**{decided.warning}.**" if decided.warning else "",
        "## Rows",
        f"{decided.rows} rows were read, {len(rows)} are in `{EPISODES}`. Hidden characters were "
        f"taken out of {decided.left[MENDED]}. Left out, as `lpca check --fix` does it: "
        f"{'' if left else 'none.'}",
        *left,
        "## Groups and splits",
        f"{plural(len(groups), 'group')}: {'those of the rows' if named else 'a message is one'}; "
        f"the largest has {plural(max(groups.values()), 'row')}. A group stands in one split, by "
        f"the hash of its name: {sizes}. {decided.available} test episodes can be each other's "
        "donors.",
        "## Options",
        f"{drawn} Kinds: {most}.",
        "## What B knows",
        f"Receiver {receiver}, {plural(rates.n, 'validation episode')}:" if rates.n else "",
        *decided.measured,
        "## Claims",
        f"- p0 is claimed to lie {within}: as far from its rate as that may be off, on so few "
        "episodes and on n. Real answers can be guessed, so it need not be 1 / options.",
        "- `expect:` has a channel that brings three quarters of what text adds. The margins are "
        f"at most a quarter of it, here {points(proposal.margin)}.",
        f"- `shuffle` {misled}.",
        f"- n is {proposal.n} of {decided.available}: half as many again as the power needs, where "
        "there are so many, since the rates themselves are known of few.",
        f"- k is {proposal.k}, for messages of {_median(rows)} words at the median: a first guess.",
    ]
    shown = [_wrapped(part) for part in parts if part]
    if proposal.sound:
        tables = "\n".join(power_table(proposal.spec, gate) for gate in proposal.gates)
        shown.append(f"```text\n{tables}```")
    return "\n\n".join(shown).replace("\n\n- ", "\n- ") + "\n"


def _wrapped(text: str) -> str:
    return "\n".join(wrapped(text, 100, 0, 2 if text.startswith("- ") else 0))


def _median(rows: Sequence[Row]) -> int:
    return round(statistics.median(len(row.message.split()) for row in rows))
