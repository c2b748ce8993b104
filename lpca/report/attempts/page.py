"""The page of an attempt that was measured, from its evidence alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lpca.evidence import (
    CheckResult,
    CodecFacts,
    EpisodesUsed,
    Evidence,
    Similarity,
    to_data,
)
from lpca.report.attempts.kept import Attempt, RecordFacts
from lpca.report.attempts.next_steps import next_steps
from lpca.report.markdown import code, conditions_table, criteria_table, plain, table, validity_line

_RESULTS = {True: "passed", False: "**FAILED**", None: "did not apply"}
LEDGER_CHECKS = ("ledger_intact", "checkpoints_accounted", "looks_accounted")


def validity(evidence: Evidence) -> str:
    """VALID, INVALID, or UNCHECKED where no validity check applied."""
    if evidence.is_invalid:
        return "INVALID"
    return "VALID" if any(one.passed for one in evidence.checks) else "UNCHECKED"


def page(attempt: Attempt, picture: str) -> str:
    """Return the Markdown page of a kept attempt; `picture` is an image file beside it."""
    kept, facts = attempt.evidence, attempt.recorded
    sections = {
        "Status": _status(kept),
        "Configuration": table(["what", "value"], _configuration(kept)),
        "Results": _results(kept, picture),
        "Criteria": _criteria(kept),
        "Validity checklist": _checks(kept.checks),
        "Decision log": [f"- {line}" for line in _decisions(kept, facts)],
        "Artefacts": _artefacts(kept, facts),
        "Next steps": [f"- {line}" for line in next_steps(kept)],
    }
    head = f"{facts.identity.gate}, attempt {facts.identity.number:02d}: {verdict(kept)}"
    return document(head, sections)


def verdict(kept: Evidence) -> str:
    """The verdict; where any of several k suffices, it is that of this k before Holm."""
    return f"{kept.verdict} (this k alone)" if kept.any_of_k else str(kept.verdict)


def document(title: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Return a page from its sections; pages are made again, so none says when it was made."""
    lines = [f"# {plain(title)}", "", "Made by `lpca record`. [All attempts](index.md)."]
    for name, held in sections.items():
        lines += ["", f"## {name}", "", *held]
    return "\n".join(lines) + "\n"


def notes(facts: RecordFacts) -> Iterator[str]:
    """The recorder's own lines, each with its date."""
    for note in facts.notes:
        yield f"{note.date}: {plain(note.text)}"


def _status(kept: Evidence) -> list[str]:
    return [
        f"**{validity(kept)}**: {validity_line(kept)}"
        + "".join(f"; required `{one.name}` {one.verdict}" for one in kept.required)
        + ".",
        "",
        f"**Verdict: {verdict(kept)}**. Claim: {plain(kept.title)}.",
        *_family(kept.any_of_k),
        *(f"\n- {plain(reason)}" for reason in kept.reasons),
    ]


def _family(ks: Sequence[int]) -> list[str]:
    if not ks:
        return []
    names = ", ".join(map(str, ks))
    return ["", f"Any k of {names} suffices: the gate is decided by all of them, after Holm."]


def _configuration(kept: Evidence) -> Iterator[list[str]]:
    receiver, task = kept.receiver, kept.task
    settings = [f"{plain(key)} {plain(value)}" for key, value in task.items() if key != "name"]
    yield ["date", plain(kept.written)]
    yield ["gate", f"`{kept.gate}`, answers {plain(kept.answers)}, scored by {kept.score}"]
    yield ["k", "-" if kept.k is None else str(kept.k)]
    yield ["receiver", plain(f"{receiver.name} ({receiver.dtype}, {receiver.device})")]
    yield ["codec", _part(kept.codec)]
    yield ["static prefix", _part(kept.static)]
    yield ["task", ", ".join([plain(task["name"]), *settings])]
    yield ["episodes", _episodes(kept.looks)]
    yield ["command", code(shlex.join(kept.command))]
    yield ["versions", _listed(kept.versions)]
    yield ["machine", _listed(kept.machine)]
    yield ["seconds", _listed(kept.seconds)]


def _part(part: CodecFacts | None) -> str:
    """A codec's or a control's facts; its hashes stand among the artefacts."""
    if part is None:
        return "none"
    own = {
        "architecture": part.architecture,
        "origin": part.origin,
        "seed": part.seed,
        "bits": part.bits,
    }
    known = {key: value for key, value in own.items() if value is not None}
    return _listed({**known, **_recipe(part.recipe or {})})


def _recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """How it was trained; before there were recipes, settings without a curriculum."""
    if "curriculum" not in recipe:
        return dict(recipe)
    settings = {key: value for key, value in recipe["architecture"].items() if key != "name"}
    stages = [f"{stage['steps']} steps of {_weights(stage)}" for stage in recipe["curriculum"]]
    numbers = {key: one for key, one in recipe.items() if key not in ("architecture", "curriculum")}
    return {**settings, "trained": ", then ".join(stages), **numbers}


def _weights(stage: Mapping[str, Any]) -> str:
    return " + ".join(f"{weight:g} {name}" for name, weight in stage["objective"].items())


def _episodes(looks: EpisodesUsed) -> str:
    counts = f"{looks.used} of {looks.declared} declared"
    if looks.rule is None:
        return counts
    return f"{counts}; ended at look {looks.look} of {len(looks.sizes)} ({looks.rule})"


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{plain(key)} {plain(value)}" for key, value in facts.items())


def _results(kept: Evidence, picture: str) -> list[str]:
    unread = ["INVALID: these numbers are here to find the fault, not to be read as a result.", ""]
    shown = f"![{kept.gate} at a glance]({picture})"
    lines = unread if validity(kept) == "INVALID" else []
    return [*lines, *conditions_table(kept), "", *_similarity(kept.similarity), shown]


def _similarity(found: Similarity | None) -> list[str]:
    if not found:
        return []
    between = "-" if found.between is None else f"{found.between:.2f}"
    return [
        f"Prefixes of different messages have a mean cosine of {between}; a latent's norm is "
        f"{found.norm_ratio:.2f} times that of an embedding.",
        "",
    ]


def _criteria(kept: Evidence) -> list[str]:
    lines = []
    for required in kept.required:
        lines += [f"Required `{required.name}`: {required.verdict}", ""]
        lines += [*criteria_table(required.criteria), ""]
    if validity(kept) == "INVALID":
        return [*lines, f"The criteria of `{kept.gate}` were not read."]
    return [
        *lines,
        f"`{kept.gate}`: {kept.verdict}",
        "",
        *criteria_table(kept.criteria),
        "",
        "Counts of paired episodes: both succeed, first only, second only, neither.",
    ]


def _checks(checks: Sequence[CheckResult]) -> list[str]:
    rows = [
        [f"`{one.id}`", plain(one.title), _RESULTS[one.passed], plain(one.detail)] for one in checks
    ]
    return table(["check", "what must hold", "result", "detail"], rows)


def _decisions(kept: Evidence, facts: RecordFacts) -> Iterator[str]:
    date = kept.written[:10]
    for check in kept.applied_checks:
        if check.id in LEDGER_CHECKS:
            yield f"{date}: `{check.id}` {_RESULTS[check.passed]}: {plain(check.detail)}"
    for required in kept.required:
        yield f"{date}: required `{required.name}` is {required.verdict}"
    for reason in kept.reasons:
        yield f"{date}: {kept.verdict}: {plain(reason)}"
    if validity(kept) != "INVALID":
        for one in kept.criteria:
            yield f"{date}: `{one.id}` {plain(one.message)}"
    yield f"{date}: `{kept.gate}` is {kept.verdict}"
    yield from notes(facts)


def _artefacts(kept: Evidence, facts: RecordFacts) -> list[str]:
    rows = [
        ["recorded", f"[{facts.id}.json]({facts.id}.json)"],
        ["from evidence", f"{code(facts.source)}, content {code(facts.sha256)}"],
        ["run", code(kept.run)],
        *([plain(name), code(value)] for name, value in to_data(kept.hashes).items() if value),
    ]
    return table(["artefact", "SHA-256 or file"], rows)
