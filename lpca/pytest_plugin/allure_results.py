"""What Allure is told of a criterion, a validity check and a gate's verdict, from the evidence.

Allure has five statuses and LPCA other classes, so a message begins with its class: FAIL is
`failed`; INVALID and BROKEN are `broken`; INCONCLUSIVE and NOT MEASURED are `unknown`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from allure_commons.model2 import (
    Label,
    Parameter,
    Status,
    StatusDetails,
    TestResult,
    TestStepResult,
)
from allure_commons.types import AttachmentType, LabelType

from lpca.base.numbers import counted
from lpca.evidence.model import Evidence
from lpca.gate.plan import GateKey
from lpca.gatespec.claims import in_words
from lpca.gatespec.model import Criterion, Gate
from lpca.pytest_plugin.cases import Case
from lpca.report.markdown import criterion_numbers as shown_numbers
from lpca.report.next_steps import found_in, next_step
from lpca.report.sentences import packets, unsaid
from lpca.stats.verdicts import Verdict
from lpca.validity.catalogue import CHECKS

LEAST_FOR_A_CURVE = 2


@dataclass(frozen=True)
class Attached:
    """One attachment: its name, content and kind."""

    name: str
    body: bytes
    kind: AttachmentType


def attachments_of(evidence: Evidence, written: bytes) -> Iterator[Attached]:
    """Yield what shows a gate's evidence; `written` is the evidence file as it stands."""
    yield from glance(evidence)
    yield Attached("evidence", written, AttachmentType.JSON)
    yield Attached("episodes", episode_table(evidence).encode(), AttachmentType.CSV)
    yield Attached("prompts as B saw them", prompts(evidence).encode(), AttachmentType.TEXT)
    from lpca.report.figures.diagnosis import similarity_figure, training_figure
    from lpca.report.figures.style import name_of

    codec, similarity = evidence.codec, evidence.similarity
    if codec is not None and len(codec.history) >= LEAST_FOR_A_CURVE:
        yield from _picture("training curve", training_figure, evidence)
    if similarity is not None:
        yield from _picture("prefix similarity", similarity_figure, similarity, name_of(evidence))


def glance(evidence: Evidence) -> Iterator[Attached]:
    """Yield the picture of the whole gate."""
    from lpca.report.figures.gate import gate_figure

    yield from _picture("the gate at a glance", gate_figure, evidence)


def _picture(name: str, draw: Callable[..., Any], *of: object) -> Iterator[Attached]:
    from lpca.report.figures.style import FigureError, svg

    try:
        yield Attached(name, svg(draw(*of)), AttachmentType.SVG)
    except FigureError as error:
        yield Attached(f"no picture of {name}", str(error).encode(), AttachmentType.TEXT)


def episode_table(evidence: Evidence) -> str:
    """Return CSV, a row per episode: what it was, and each condition's outcomes and answer.

    An episode that is read several times has a row for each.
    """
    conditions = list(evidence.conditions)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    head = ["seed", "answers", "wording", "message", "options", "right", "donor"]
    for name in conditions:
        head += [f"{name} likelihood", f"{name} greedy", f"{name} said"]
    table.writerow(head)
    for episode in evidence.episodes:
        about: list[object] = [episode.seed, episode.answers, episode.wording, episode.message]
        about += ["; ".join(episode.options), episode.options[episode.right], episode.donor]
        for outcomes in zip(*(episode.outcomes[name].readings for name in conditions), strict=True):
            row = list(about)
            for outcome in outcomes:
                row += [int(outcome.likelihood), int(outcome.greedy), (outcome.said or "").strip()]
            table.writerow(row)
    return text.getvalue()


def prompts(evidence: Evidence) -> str:
    """Return the prompts that the evidence keeps as text, each under its hashes."""
    parts = [
        f"=== {prompt.condition}, episode {prompt.seed}\n"
        f"prompt sha256 {prompt.prompt_sha256}\n"
        f"vectors sha256 {prompt.slot_sha256 or '-'}\n\n"
        f"{prompt.text}\n"
        for prompt in evidence.prompts
    ]
    return "\n".join(parts) or "this evidence keeps no prompts as text\n"


STATUSES: Mapping[Verdict, str] = {
    Verdict.PASS: Status.PASSED,
    Verdict.FAIL: Status.FAILED,
    Verdict.INCONCLUSIVE: Status.UNKNOWN,
    Verdict.INVALID: Status.BROKEN,
    Verdict.NOT_MEASURED: Status.UNKNOWN,
    Verdict.EXPLORED: Status.UNKNOWN,
}
_SUITES = (LabelType.PARENT_SUITE, LabelType.SUITE, LabelType.SUB_SUITE)
_UNWANTED_LABELS = (*_SUITES, "package")
_GROUPS = {"criterion": "Criteria", "check": "Validity checks"}


@dataclass(frozen=True)
class Subject:
    """What beside the test itself makes two results ones of the same thing.

    `codec` names a user's own; it is empty for those that lpca trains.
    """

    receiver: str
    task: str
    seed: int
    codec: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a result ends, in Allure's terms; the message is empty for a PASS."""

    status: str
    message: str = ""


def verdict_outcome(verdict: Verdict, message: str) -> Outcome:
    """Return how a verdict is shown; its message begins with the verdict."""
    if verdict is Verdict.PASS:
        return Outcome(Status.PASSED)
    lead = f"{verdict}: "
    return Outcome(STATUSES[verdict], message if message.startswith(lead) else lead + message)


def outcome_of(case: Case, evidence: Evidence | None, status: str, message: str) -> Outcome:
    """Return how a case ended, from its gate's evidence and from how pytest saw its test end.

    `status` is Allure's of the pytest test: `broken` where something raised that nobody planned.
    """
    message = message.removeprefix("Failed: ").removeprefix("Skipped: ")
    if status == Status.BROKEN:
        return Outcome(Status.BROKEN, f"BROKEN: {message}")
    if status == Status.SKIPPED:
        return Outcome(Status.SKIPPED, message.removeprefix("XFAIL ").split("\n")[0])
    if evidence is None:
        reason = message or "its evidence was not measured in this run"
        return verdict_outcome(Verdict.NOT_MEASURED, reason)
    verdict, reading = _read(case, evidence)
    if verdict is Verdict.PASS and status == Status.FAILED:
        return Outcome(Status.BROKEN, f"BROKEN: {message}")
    return verdict_outcome(verdict, reading)


def gate_outcome(
    verdict: Verdict, evidence: Evidence | None, note: str, *, carried: bool
) -> Outcome:
    """Return how a gate ended: for `carried`, another k of its family passes in its place."""
    if carried and verdict is not Verdict.PASS:
        return Outcome(Status.SKIPPED, f"passes at another k; at this one alone: {verdict}")
    reasons = [note] if note else list(evidence.reasons) if evidence else []
    if not reasons and evidence is not None:
        reasons = [
            result.message for result in evidence.result.deciding if result.verdict is verdict
        ]
    return verdict_outcome(verdict, "\n".join(reasons))


def fill(
    result: TestResult, case: Case, gate: Gate, subject: Subject, evidence: Evidence | None
) -> None:
    """Turn pytest's result of a case's test into the one that is shown and kept in history."""
    details = result.statusDetails
    said = (details.message or "") if details else ""
    outcome = outcome_of(case, evidence, result.status, said)
    # the trace is pytest's of an assertion on the evidence: only what broke needs one
    trace = details.trace if details and outcome.message.startswith("BROKEN") else None
    name = f"{result.fullName}[{case.gate}-{case.name}]"
    _close(result, outcome, trace, name, identity(subject, case.key))
    _place(result, [*_suites(gate, case.key), _GROUPS[case.kind]])
    if case.kind == "check":
        result.name = CHECKS[case.name].title
        check = evidence.check(case.name) if evidence else None
        told = [case.name, check.detail if check else ""]
    else:
        criterion = next(one for one in gate.criteria if one.id == case.name)
        result.name = in_words(criterion.claim)
        found = evidence.result.criterion(criterion.id) if evidence else None
        where = f"{criterion.position.file}:{criterion.position.line}"
        told = [f"`{criterion.text}` ({criterion.id}, {where})", criterion.why]
        told += [found.message] if found and found.verdict is Verdict.PASS else []
        # first what is read first: a reader sees eight without a click
        result.parameters = criterion_numbers(criterion, evidence) + result.parameters
    result.description = "\n\n".join(filter(None, told))
    result.steps = steps_of(evidence) if evidence else []


def verdict_result(
    gate: Gate,
    k: int | None,
    outcome: Outcome,
    subject: Subject,
    evidence: Evidence | None,
    now: int,
    note: str = "",
    seed: int | None = None,
) -> TestResult:
    """Return the result that stands for a whole gate; `now` is in milliseconds since 1970."""
    key = GateKey(gate.name, k, seed)
    result = TestResult(uuid=str(uuid4()), name=f"The verdict on {gate.name}", start=now, stop=now)
    _close(result, outcome, None, f"lpca#verdict[{gate.name}]", identity(subject, key))
    _place(result, _suites(gate, key))
    lines = [f"**{gate.title}**", note, *(evidence.reasons if evidence else ())]
    if evidence is not None:
        step = next_step(found_in(evidence))
        lines += [packets(evidence), *unsaid(evidence), f"Next: {step}." if step else ""]
    result.description = "\n\n".join(line for line in lines if line)
    if evidence is not None:
        result.parameters = rates(evidence, list(evidence.conditions)) + result.parameters
        result.steps = steps_of(evidence)
    if result.steps:
        result.start, result.stop = result.steps[0].start, result.steps[-1].stop
    return result


def identity(subject: Subject, key: GateKey) -> list[Parameter]:
    """The parameters that name a test: with the same ones, runs are of the same thing."""
    named: dict[str, object] = {"k": key.k, "receiver": subject.receiver, "task": subject.task}
    named |= {"seed": subject.seed, "codec": subject.codec or None, "train seed": key.seed}
    return [Parameter(name, str(value)) for name, value in named.items() if value is not None]


def criterion_numbers(criterion: Criterion, evidence: Evidence | None) -> list[Parameter]:
    """What was measured of a criterion, kept out of its identity; nothing where nothing is read."""
    result = evidence.result.criterion(criterion.id) if evidence else None
    if evidence is None or result is None or result.estimate is None:
        return []
    counts = f"{result.successes} of {result.n}"
    if (pairs := result.table) is not None:
        counts = f"a {pairs.a}, b {pairs.b}, c {pairs.c}, d {pairs.d}"
    numbers = {**shown_numbers(result), "counts": counts}
    found = rates(evidence, criterion.claim.conditions)
    return _measured(numbers) + found + _measured({"n": result.n})


def rates(evidence: Evidence, conditions: Sequence[str]) -> list[Parameter]:
    """The success rate of each condition that was evaluated, as parameters outside identity."""
    held = {name: evidence.conditions[name] for name in conditions if name in evidence.conditions}
    found = {name: numbers.under(evidence.score).successes for name, numbers in held.items()}
    return _measured({f"rate {name}": counted(found[name], held[name].n) for name in held})


def _measured(numbers: Mapping[str, object]) -> list[Parameter]:
    return [Parameter(name, str(value), excluded=True) for name, value in numbers.items()]


def _read(case: Case, evidence: Evidence) -> tuple[Verdict, str]:
    if case.kind == "check":
        check = evidence.check(case.name)
        if check is None or check.passed is None:
            return Verdict.NOT_MEASURED, check.detail if check else "it was not carried out"
        verdict = Verdict.PASS if check.passed else Verdict.INVALID
        return verdict, f"{case.name}: {check.detail}"
    if evidence.is_invalid:
        return Verdict.INVALID, "not read: " + "; ".join(evidence.reasons)
    criterion = evidence.result.criterion(case.name)
    if criterion is None:
        return Verdict.NOT_MEASURED, "the evidence does not have it"
    return criterion.verdict, criterion.message


def _close(
    result: TestResult, outcome: Outcome, trace: str | None, name: str, named: list[Parameter]
) -> None:
    result.status = outcome.status
    details = StatusDetails(message=outcome.message, trace=trace)
    result.statusDetails = details if outcome.message else None
    result.fullName, result.testCaseId = name, _hash(name)
    result.parameters = named
    result.historyId = _hash(name, *(f"{one.name}={one.value}" for one in named))


def _hash(*parts: str) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()


def _suites(gate: Gate, key: GateKey) -> list[str]:
    parts = {"k": key.k, "train seed": key.seed}
    told = [f"{name}={value}" for name, value in parts.items() if value is not None]
    return [f"{gate.name}: {gate.title}", *told]


def _place(result: TestResult, path: list[str]) -> None:
    kept = [label for label in result.labels if label.name not in _UNWANTED_LABELS]
    suites = [Label(name, value) for name, value in zip(_SUITES, path, strict=False)]
    result.labels, result.titlePath = kept + suites, path


_STEPS = {
    "load the receiver": ("load",),
    "train": ("codec", "control"),
    "encode": ("encode",),
    "evaluate": ("evaluate",),
    "check": ("check",),
    "decide": ("decide",),
}
"""By name the entries of `seconds` that it takes."""


def steps_of(evidence: Evidence) -> list[TestStepResult]:
    """Return what was done for a gate, in order and ending when the evidence was written.

    A step that was not timed is left out, and so is one that the gate has no need of.
    """
    seconds = dict(evidence.seconds)
    if evidence.codec is None:
        seconds.pop("encode", None)
    timed = {name: [part for part in parts if part in seconds] for name, parts in _STEPS.items()}
    spent = sum(seconds[part] for parts in timed.values() for part in parts)
    clock = datetime.fromisoformat(evidence.written).timestamp() - spent
    steps = []
    for name, parts in timed.items():
        inner = []
        for part in parts:
            inner.append(_step(part, clock, seconds[part], _about(part, evidence)))
            clock += seconds[part]
        if inner:
            steps.append(_whole(name, inner))
    return steps


def _step(name: str, start: float, spent: float, about: Mapping[str, object]) -> TestStepResult:
    shown = {"seconds": spent, **about}  # Allure rounds to milliseconds
    return TestStepResult(
        name=name,
        status=Status.PASSED,
        start=round(1000 * start),
        stop=round(1000 * (start + spent)),
        parameters=[Parameter(key, str(value)) for key, value in shown.items()],
    )


def _whole(name: str, inner: list[TestStepResult]) -> TestStepResult:
    if len(inner) == 1 and name != "train":
        inner[0].name = name
        return inner[0]
    start, stop = inner[0].start, inner[-1].stop
    return TestStepResult(name=name, status=Status.PASSED, start=start, stop=stop, steps=inner)


def _about(part: str, evidence: Evidence) -> dict[str, object]:
    """What a reader must know to take a step's time for what it is."""
    if part in ("codec", "control"):
        codec = evidence.codec if part == "codec" else evidence.static
        if codec is None:
            return {"origin": "unknown"}
        # a codec that lpca did not train has no history
        steps = {"training steps": len(codec.history)} if codec.history else {}
        return {"origin": codec.origin, **steps}
    if part == "evaluate":
        cached = sum(block.cached for block in evidence.blocks)
        return {
            "conditions": len(evidence.conditions),
            "episodes": evidence.looks.used,
            "blocks from the cache": f"{cached} of {len(evidence.blocks)}",
        }
    return {"verdict": evidence.verdict} if part == "decide" else {}
