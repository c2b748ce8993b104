"""Attempts published elsewhere, as rates or unpaired counts: their pages, and what they decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lpca.base.numbers import PERCENT, UNITS, counted, percent, span
from lpca.gatespec.claims import unit_of
from lpca.gatespec.model import CONDITIONS, Spec
from lpca.judge.marginals import Attempt, attempts_of, pairing_range
from lpca.judge.outcomes import OutcomeError
from lpca.report.attempts.kept import AttemptId, Published, RecordError, facts_of
from lpca.report.attempts.page import document, notes
from lpca.report.markdown import code, plain, table
from lpca.stats.proportions import wilson

_TOLD_ELSEWHERE = ("id", "date", "status", "results", "faults", "fixes_decided", "proposed")
_NOT_READ = "Published as INVALID: these numbers are here for the record, not as a result."


def keep(held: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """Return what is kept of one published attempt, with what the spec makes of its counts.

    Raises:
        RecordError: the attempt is incomplete, or the spec has no gate of its name.
    """
    try:
        (attempt,) = attempts_of([held])
    except OutcomeError as error:
        raise RecordError(str(error)) from None
    gate = AttemptId.parse(attempt.id).gate
    if gate not in spec.gates:
        raise RecordError(f"{spec.file}: no gate {gate}, which {attempt.id} is an attempt at")
    missing = [key for key in ("date", "receiver", "k") if key not in held]
    if missing:
        raise RecordError(f"{attempt.id} lacks {', '.join(missing)}")
    judged = list(_judged(attempt, spec, gate)) if attempt.valid else []
    spec_hash = spec.sha256
    return {"attempts": [dict(held)], "judged": judged, "spec_sha256": spec_hash}


def _judged(attempt: Attempt, spec: Spec, gate: str) -> Iterator[dict[str, Any]]:
    for k, counts in attempt.counts:
        for criterion in spec.gates[gate].criteria:
            found = pairing_range(criterion, counts, spec.evaluation)
            yield {
                "k": k,
                "id": criterion.id,
                "claim": criterion.text,
                "verdicts": list(found.verdicts),
                "interval": [found.interval.low, found.interval.high] if found.interval else None,
                "unit": unit_of(criterion.claim).name,
                "message": found.message,
            }


def validity(held: Mapping[str, Any]) -> str:
    """INVALID as published; else UNCHECKED: no validity check of lpca's was run on it."""
    return "INVALID" if held["status"] == "INVALID" else "UNCHECKED"


def page(kept: Published) -> str:
    """Return the Markdown page of a published attempt."""
    held, facts = kept["attempts"][0], facts_of(kept)
    sections = {
        "Status": _status(held),
        "Configuration": table(["what", "value"], _configuration(held)),
        "Results": _results(held),
        "Criteria": _criteria(kept),
        "Validity checklist": [
            *("Faults, as published:", ""),
            *(f"- {plain(fault)}" for fault in held["faults"]),
        ],
        "Decision log": [f"- {line}" for line in (*_decisions(kept), *notes(facts))],
        "Artefacts": _artefacts(kept, facts.id),
        "Next steps": [f"- {line}" for line in _next(held)],
    }
    return document(facts, f"published as {held['status']}", sections)


def index_cells(held: Mapping[str, Any], shown: Sequence[str]) -> list[str]:
    """A published attempt's row of the index, but for its link; a line a k."""
    invalid = validity(held) == "INVALID"
    rates = [
        "<br>".join(_shown_rate(one.get(name))[0] for one in held["results"]) for name in shown
    ]
    return [
        plain(held["date"]),
        f"`{AttemptId.parse(held['id']).gate}`",
        plain(held["receiver"]),
        "-",
        "<br>".join(str(result["k"]) for result in held["results"]),
        *(rate.replace("not published", "-") for rate in rates),
        validity(held),
        "not read" if invalid else f"NOT MEASURED (published as {plain(held['status'])})",
    ]


def _status(held: Mapping[str, Any]) -> list[str]:
    if validity(held) == "INVALID":
        return [f"**INVALID**, as published. {len(held['faults'])} faults, below."]
    return [
        "**UNCHECKED**: published before `lpca`; none of its validity checks was run.",
        "",
        f"**Verdict: published as {plain(held['status'])}**. By this repository's claims: NOT "
        "MEASURED, since counts without their pairing do not decide paired claims.",
    ]


def _configuration(held: Mapping[str, Any]) -> Iterator[list[str]]:
    yield ["date", plain(held["date"])]
    for key, value in held.items():
        if key not in _TOLD_ELSEWHERE and not isinstance(value, dict):
            yield [plain(key.replace("_", " ")), _value(value)]


def _value(value: Any) -> str:
    if value is None:
        return "not published"
    return plain(", ".join(map(str, value)) if isinstance(value, list) else value)


def _results(held: Mapping[str, Any]) -> list[str]:
    named = CONDITIONS.among(name for result in held["results"] for name in result)
    rows = [
        [str(result["k"]), f"`{name}`", *_shown_rate(result.get(name))]
        for result in held["results"]
        for name in named
    ]
    lines = [_NOT_READ, ""] * (validity(held) == "INVALID")
    lines += table(["k", "condition", "success", "95 % interval"], rows)
    for result in held["results"]:
        for key, value in result.items():
            if key not in ("k", *named):
                told = f"{plain(key.replace('_', ' '))}: {_facts(value)}"
                lines += ["", f"k={result['k']}, {told}"]
    for key, value in held.items():
        if isinstance(value, dict):
            lines += ["", f"{plain(key.replace('_', ' '))}:", ""]
            lines += [f"- {plain(name)}: {_facts(facts)}" for name, facts in value.items()]
    return lines


def _facts(facts: Any) -> str:
    if not isinstance(facts, dict):
        return plain(facts)
    return ", ".join(f"{plain(name)} {plain(value)}" for name, value in facts.items())


def _shown_rate(held: Any) -> tuple[str, str]:
    """A published success and its interval, which only counts have."""
    if isinstance(held, list):
        successes, n = held
        found = wilson(successes, n)
        return counted(successes, n), span(found.low, found.high, PERCENT, column=True)
    if held is None:
        return "not published", "-"
    return percent(held), "- (n not published)"


def _criteria(kept: Published) -> list[str]:
    if validity(kept["attempts"][0]) == "INVALID":
        return ["Not judged: it is INVALID."]
    rows = []
    for judged in kept["judged"]:
        criterion = [str(judged["k"]), f"`{judged['id']}`", code(judged["claim"])]
        rows.append([*criterion, " or ".join(judged["verdicts"]), _reach(judged)])
    head = ["k", "criterion", "claim", "verdicts over all pairings", "intervals reach"]
    return [
        "Every pairing that fits the counts was gone through, as `lpca judge` does:",
        "",
        *table(head, rows),
    ]


def _reach(judged: Mapping[str, Any]) -> str:
    if not judged["interval"]:
        return "-"
    low, high = judged["interval"]
    return span(low, high, UNITS[judged["unit"]], signed=True)


def _decisions(kept: Published) -> Iterator[str]:
    held = kept["attempts"][0]
    yield f"{plain(held['date'])}: published as {plain(held['status'])}"
    for fix in held.get("fixes_decided", ()):
        yield f"{plain(held['date'])}: decided: {plain(fix)}"
    for judged in kept["judged"]:
        if "NOT MEASURED" not in judged["verdicts"]:
            yield f"judged since from its counts, k={judged['k']}: {plain(judged['message'])}"


def _next(held: Mapping[str, Any]) -> Iterator[str]:
    for step in (*held.get("fixes_decided", ()), *held.get("proposed", ())):
        yield f"As published: {plain(step)}."
    yield "Measure it anew with outcomes by episode: what was published cannot be paired."


def _artefacts(kept: Published, id: str) -> list[str]:
    facts = "the facts as published. No outcomes by episode were, so it cannot be compared."
    judged = [f"- judged by the spec with SHA-256 `{kept['spec_sha256']}`"] * bool(kept["judged"])
    return [f"- [{id}.json]({id}.json): {facts}", *judged]
