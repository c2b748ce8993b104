"""The page of an attempt that was measured, from its evidence alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lpca.report.attempts.kept import RECORD, AttemptId
from lpca.report.attempts.next_steps import next_steps
from lpca.report.markdown import code, conditions_table, criteria_table, plain, table, validity_line
from lpca.stats import Verdict

_RESULTS = {True: "passed", False: "**FAILED**", None: "did not apply"}
LEDGER_CHECKS = ("ledger_intact", "checkpoints_accounted", "looks_accounted")


def validity(evidence: Mapping[str, Any]) -> str:
    """VALID, INVALID, or UNCHECKED where no validity check applied."""
    if evidence["verdict"] == Verdict.INVALID:
        return "INVALID"
    return "VALID" if any(one["passed"] for one in evidence["checks"]) else "UNCHECKED"


def page(kept: Mapping[str, Any], picture: str) -> str:
    """Return the Markdown page of a kept attempt; `picture` is an image file beside it."""
    identity = AttemptId.parse(kept[RECORD]["id"])
    sections = {
        "Status": _status(kept),
        "Configuration": table(["what", "value"], _configuration(kept)),
        "Results": _results(kept, picture),
        "Criteria": _criteria(kept),
        "Validity checklist": _checks(kept["checks"]),
        "Decision log": [f"- {line}" for line in _decisions(kept)],
        "Artefacts": _artefacts(kept, identity),
        "Next steps": [f"- {line}" for line in next_steps(kept)],
    }
    head = f"{identity.gate}, attempt {identity.number:02d}: {verdict(kept)}"
    return document(head, sections)


def verdict(kept: Mapping[str, Any]) -> str:
    """The verdict; where any of several k suffices, it is that of this k before Holm."""
    return f"{kept['verdict']} (this k alone)" if kept.get("any_of_k") else str(kept["verdict"])


def document(title: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Return a page from its sections; pages are made again, so none says when it was made."""
    lines = [f"# {plain(title)}", "", "Made by `lpca record`. [All attempts](index.md)."]
    for name, held in sections.items():
        lines += ["", f"## {name}", "", *held]
    return "\n".join(lines) + "\n"


def notes(kept: Mapping[str, Any]) -> Iterator[str]:
    """The recorder's own lines, each with its date."""
    for note in kept[RECORD]["notes"]:
        yield f"{note['date']}: {plain(note['text'])}"


def _status(kept: Mapping[str, Any]) -> list[str]:
    return [
        f"**{validity(kept)}**: {validity_line(kept)}"
        + "".join(f"; required `{one['gate']}` {one['verdict']}" for one in kept["required"])
        + ".",
        "",
        f"**Verdict: {verdict(kept)}**. Claim: {plain(kept['title'])}.",
        *_family(kept.get("any_of_k") or ()),
        *(f"\n- {plain(reason)}" for reason in kept["reasons"]),
    ]


def _family(ks: Sequence[int]) -> list[str]:
    if not ks:
        return []
    names = ", ".join(map(str, ks))
    return ["", f"Any k of {names} suffices: the gate is decided by all of them, after Holm."]


def _configuration(kept: Mapping[str, Any]) -> Iterator[list[str]]:
    receiver, task, looks = kept["receiver"], dict(kept["task"]), kept["looks"]
    settings = [f"{plain(key)} {plain(value)}" for key, value in task.items() if key != "name"]
    yield ["date", plain(kept["written"])]
    yield ["gate", f"`{kept['gate']}`, answers {plain(kept['answers'])}, scored by {kept['score']}"]
    yield ["k", "-" if kept["k"] is None else str(kept["k"])]
    yield ["receiver", plain(f"{receiver['name']} ({receiver['dtype']}, {receiver['device']})")]
    yield ["codec", _part(kept["codec"])]
    yield ["static prefix", _part(kept.get("static"))]
    yield ["task", ", ".join([plain(task["name"]), *settings])]
    yield ["episodes", _episodes(looks)]
    yield ["command", code(shlex.join(kept["command"]))]
    yield ["versions", _listed(kept["versions"])]
    yield ["machine", _listed(kept["machine"])]
    yield ["seconds", _listed(kept["seconds"])]


def _part(part: Mapping[str, Any] | None) -> str:
    """A codec's or a control's facts; its hashes stand among the artefacts."""
    if part is None:
        return "none"
    own = {key: part.get(key) for key in ("architecture", "origin", "seed", "bits")}
    known = {key: value for key, value in own.items() if value is not None}
    return _listed({**known, **_recipe(part)})


def _recipe(part: Mapping[str, Any]) -> dict[str, Any]:
    """How it was trained; evidence of before there were recipes has it as `config`."""
    recipe = part.get("recipe") or part.get("config")
    if not isinstance(recipe, Mapping) or "curriculum" not in recipe:
        return dict(recipe) if isinstance(recipe, Mapping) else {}
    settings = {key: value for key, value in recipe["architecture"].items() if key != "name"}
    stages = [f"{stage['steps']} steps of {_weights(stage)}" for stage in recipe["curriculum"]]
    numbers = {key: one for key, one in recipe.items() if key not in ("architecture", "curriculum")}
    return {**settings, "trained": ", then ".join(stages), **numbers}


def _weights(stage: Mapping[str, Any]) -> str:
    return " + ".join(f"{weight:g} {name}" for name, weight in stage["objective"].items())


def _episodes(looks: Mapping[str, Any]) -> str:
    counts = f"{looks['used']} of {looks['declared']} declared"
    if "rule" not in looks:
        return counts
    return f"{counts}; ended at look {looks['look']} of {len(looks['sizes'])} ({looks['rule']})"


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{plain(key)} {plain(value)}" for key, value in facts.items())


def _results(kept: Mapping[str, Any], picture: str) -> list[str]:
    unread = ["INVALID: these numbers are here to find the fault, not to be read as a result.", ""]
    shown = f"![{kept['gate']} at a glance]({picture})"
    lines = unread if validity(kept) == "INVALID" else []
    return [*lines, *conditions_table(kept), "", *_similarity(kept.get("similarity")), shown]


def _similarity(found: Mapping[str, Any] | None) -> list[str]:
    if not found:
        return []
    between = "-" if found["between"] is None else f"{found['between']:.2f}"
    return [
        f"Prefixes of different messages have a mean cosine of {between}; a latent's norm is "
        f"{found['norm_ratio']:.2f} times that of an embedding.",
        "",
    ]


def _criteria(kept: Mapping[str, Any]) -> list[str]:
    lines = []
    for required in kept["required"]:
        lines += [f"Required `{required['gate']}`: {required['verdict']}", ""]
        lines += [*criteria_table(required["criteria"]), ""]
    if validity(kept) == "INVALID":
        return [*lines, f"The criteria of `{kept['gate']}` were not read."]
    return [
        *lines,
        f"`{kept['gate']}`: {kept['verdict']}",
        "",
        *criteria_table(kept["criteria"]),
        "",
        "Counts of paired episodes: both succeed, first only, second only, neither.",
    ]


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [
        [f"`{one['id']}`", plain(one["title"]), _RESULTS[one["passed"]], plain(one["detail"])]
        for one in checks
    ]
    return table(["check", "what must hold", "result", "detail"], rows)


def _decisions(kept: Mapping[str, Any]) -> Iterator[str]:
    date = kept["written"][:10]
    for one in kept["checks"]:
        if one["id"] in LEDGER_CHECKS and one["passed"] is not None:
            yield f"{date}: `{one['id']}` {_RESULTS[one['passed']]}: {plain(one['detail'])}"
    for required in kept["required"]:
        yield f"{date}: required `{required['gate']}` is {required['verdict']}"
    for reason in kept["reasons"]:
        yield f"{date}: {kept['verdict']}: {plain(reason)}"
    if validity(kept) != "INVALID":
        for one in kept["criteria"]:
            yield f"{date}: `{one['id']}` {plain(one['message'])}"
    yield f"{date}: `{kept['gate']}` is {kept['verdict']}"
    yield from notes(kept)


def _artefacts(kept: Mapping[str, Any], identity: AttemptId) -> list[str]:
    record = kept[RECORD]
    rows = [
        ["recorded", f"[{identity}.json]({identity}.json)"],
        ["from evidence", f"{code(record['source'])}, content {code(record['sha256'])}"],
        ["run", code(kept["run"])],
        *([plain(name), code(value)] for name, value in kept["hashes"].items() if value),
    ]
    return table(["artefact", "SHA-256 or file"], rows)
