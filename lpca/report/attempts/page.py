"""The page of an attempt that was measured, and what follows from it: from its evidence alone."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lpca.evidence.json_form import to_data
from lpca.evidence.model import CheckResult, CodecFacts, CriterionResult, Evidence
from lpca.report.attempts.kept import Attempt, RecordFacts
from lpca.report.markdown import code, conditions_table, criteria_table, plain, table, validity_line
from lpca.report.next_steps import ADVICE, FRESH_CHECKS
from lpca.report.sentences import grouped, packets
from lpca.stats.verdicts import Verdict

LEDGER_CHECKS = ("ledger_intact", *FRESH_CHECKS)
FRESH = (
    "Whatever is changed, choose it on validation episodes and judge it on a fresh `seed:`; these "
    "test episodes have been seen."
)
_TOLD_APART = ("architecture", "curriculum")


def page(attempt: Attempt, picture: str) -> str:
    """Return the Markdown page of a kept attempt; `picture` is an image file beside it."""
    evidence, facts = attempt.evidence, attempt.recorded
    decided = (f"{evidence.written[:10]}: {line}" for line in _decisions(evidence))
    sections = {
        "Status": list(_status(evidence)),
        "Configuration": table(["what", "value"], _configuration(evidence)),
        "Results": list(_results(evidence, picture)),
        "Criteria": list(_criteria(evidence)),
        "Validity checklist": _checks(evidence),
        "Decision log": [f"- {line}" for line in (*decided, *notes(facts))],
        "Artefacts": _artefacts(evidence, facts),
        "Next steps": [f"- {line}" for line in next_steps(evidence)],
    }
    return document(facts, verdict(evidence), sections)


def validity(evidence: Evidence) -> str:
    """VALID, INVALID, or UNCHECKED where no validity check applied."""
    if evidence.is_invalid:
        return "INVALID"
    return "VALID" if any(check.passed for check in evidence.checks) else "UNCHECKED"


def verdict(evidence: Evidence) -> str:
    """The verdict; where any of several k suffices, it is that of this k before Holm."""
    return f"{evidence.verdict} (this k alone)" if evidence.any_of_k else str(evidence.verdict)


def document(facts: RecordFacts, came_to: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Return a page from its sections; pages are made again, so none says when it was made."""
    attempt = facts.identity
    lines = [f"# {plain(f'{attempt.gate}, attempt {attempt.number:02d}: {came_to}')}"]
    lines += ["", "Made by `lpca record`. [All attempts](index.md)."]
    for name, text in sections.items():
        lines += ["", f"## {name}", "", *text]
    return "\n".join(lines) + "\n"


def notes(facts: RecordFacts) -> Iterator[str]:
    """The recorder's own lines, each with its date."""
    for note in facts.notes:
        yield f"{note.date}: {plain(note.text)}"


def _status(evidence: Evidence) -> Iterator[str]:
    required = "".join(f"; required `{one.name}` {one.verdict}" for one in evidence.required)
    yield f"**{validity(evidence)}**: {validity_line(evidence)}{required}."
    yield ""
    yield f"**Verdict: {verdict(evidence)}**. Claim: {plain(evidence.title)}."
    if evidence.any_of_k:
        names = ", ".join(map(str, evidence.any_of_k))
        yield f"\nAny k of {names} suffices: the gate is decided by all of them, after Holm."
    for reason in evidence.reasons:
        yield f"\n- {plain(reason)}"


def _configuration(evidence: Evidence) -> Iterator[list[str]]:
    receiver, looks, task = evidence.receiver, evidence.looks, dict(evidence.task)
    episodes = f"{looks.used} of {looks.declared} declared"
    if looks.rule is not None:
        episodes += f"; ended at look {looks.look} of {len(looks.sizes)} ({looks.rule})"
    scored = f"answers {plain(evidence.answers)}, scored by {evidence.score}"
    yield ["date", plain(evidence.written)]
    yield ["gate", f"`{evidence.gate}`, {scored}"]
    yield ["k", "-" if evidence.k is None else str(evidence.k)]
    yield ["receiver", plain(f"{receiver.name} ({receiver.dtype}, {receiver.device})")]
    yield ["codec", _codec(evidence.codec)]
    yield ["static prefix", _codec(evidence.static)]
    yield ["task", ", ".join(filter(None, [plain(task.pop("name")), _listed(task)]))]
    yield ["episodes", episodes]
    if shared := grouped(evidence.criteria):
        yield ["groups", shared]
    if crossed := packets(evidence).removeprefix("packets: "):
        yield ["packets", crossed]
    yield ["command", code(shlex.join(evidence.command))]
    yield ["versions", _listed(evidence.versions)]
    yield ["machine", _listed(evidence.machine)]
    yield ["seconds", _listed(evidence.seconds)]


def _codec(codec: CodecFacts | None) -> str:
    """A codec's or a control's facts; its hashes stand among the artefacts."""
    if codec is None:
        return "none"
    facts = {name: getattr(codec, name) for name in ("architecture", "origin", "seed", "bits")}
    known = {name: value for name, value in facts.items() if value is not None}
    return _listed({**known, **_recipe(codec.recipe or {})})


def _recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """How it was trained; before there were recipes, settings without a curriculum."""
    if "curriculum" not in recipe:
        return dict(recipe)
    rest = {name: value for name, value in recipe.items() if name not in _TOLD_APART}
    settings = {name: value for name, value in recipe["architecture"].items() if name != "name"}
    stages = [f"{stage['steps']} steps of {_weights(stage)}" for stage in recipe["curriculum"]]
    return {**settings, "trained": ", then ".join(stages), **rest}


def _weights(stage: Mapping[str, Any]) -> str:
    return " + ".join(f"{weight:g} {name}" for name, weight in stage["objective"].items())


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{plain(name)} {plain(value)}" for name, value in facts.items())


def _results(evidence: Evidence, picture: str) -> Iterator[str]:
    if evidence.is_invalid:
        yield "INVALID: these numbers are here to find the fault, not to be read as a result."
        yield ""
    yield from conditions_table(evidence)
    yield ""
    if (found := evidence.similarity) is not None:
        between = "-" if found.between is None else f"{found.between:.2f}"
        yield (
            f"Prefixes of different messages have a mean cosine of {between}; a latent's norm is "
            f"{found.norm_ratio:.2f} times that of an embedding."
        )
        yield ""
    yield f"![{evidence.gate} at a glance]({picture})"


def _criteria(evidence: Evidence) -> Iterator[str]:
    for required in evidence.required:
        yield from (f"Required `{required.name}`: {required.verdict}", "")
        yield from (*criteria_table(required.criteria), "")
    if evidence.is_invalid:
        yield f"The criteria of `{evidence.gate}` were not read."
        return
    yield from (f"`{evidence.gate}`: {evidence.verdict}", "")
    yield from (*criteria_table(evidence.criteria), "")
    yield "Counts of paired episodes: both succeed, first only, second only, neither."


def _checks(evidence: Evidence) -> list[str]:
    rows = [
        [f"`{check.id}`", plain(check.title), _result(check), plain(check.detail)]
        for check in evidence.checks
    ]
    return table(["check", "what must hold", "result", "detail"], rows)


def _result(check: CheckResult) -> str:
    """What came of a check, as pages have it."""
    told = {"FAILED": "**FAILED**", "does not apply": "did not apply"}
    return told.get(check.result, check.result)


def _decisions(evidence: Evidence) -> Iterator[str]:
    for check in evidence.applied_checks:
        if check.id in LEDGER_CHECKS:
            yield f"`{check.id}` {_result(check)}: {plain(check.detail)}"
    for required in evidence.required:
        yield f"required `{required.name}` is {required.verdict}"
    for reason in evidence.reasons:
        yield f"{evidence.verdict}: {plain(reason)}"
    if not evidence.is_invalid:
        for result in evidence.criteria:
            yield f"`{result.id}` {plain(result.message)}"
    yield f"`{evidence.gate}` is {evidence.verdict}"


def _artefacts(evidence: Evidence, facts: RecordFacts) -> list[str]:
    rows = [
        ["recorded", f"[{facts.id}.json]({facts.id}.json)"],
        ["from evidence", f"{code(facts.source)}, content {code(facts.sha256)}"],
        ["run", code(evidence.run)],
        *([plain(name), code(value)] for name, value in to_data(evidence.hashes).items() if value),
    ]
    return table(["artefact", "SHA-256 or file"], rows)


def next_steps(evidence: Evidence) -> list[str]:
    """Return what follows from a verdict, mechanically, as Markdown: one step a line.

    Nothing here is known beyond the evidence.
    """
    steps = {
        Verdict.PASS: _after_pass,
        Verdict.FAIL: _after_fail,
        Verdict.INCONCLUSIVE: _after_fail,
        Verdict.INVALID: _after_invalid,
        Verdict.NOT_MEASURED: _after_not_measured,
        Verdict.EXPLORED: _after_explored,
    }
    return list(steps[evidence.verdict](evidence))


def _after_pass(evidence: Evidence) -> Iterator[str]:
    if evidence.codec is None:
        yield "Replicate on a fresh `seed:`."
    else:
        yield "Replicate: this codec on a fresh `seed:`; and one of another training seed."
    yield f"Try another receiver: this says nothing beyond {plain(evidence.receiver.name)}."
    if evidence.answers == "seen":
        yield "Gate on unseen answers too: these were all named in training."
    for name in evidence.shown_with:
        yield f"Read `{name}`, which ran beside it, and record it: it sets no exit code."


def _after_fail(evidence: Evidence) -> Iterator[str]:
    for result in evidence.result.deciding:
        if result.verdict is Verdict.FAIL:
            otherwise = "its claim does not hold here; the decision log has the numbers"
            advice = ADVICE.get(frozenset(result.claim.conditions), otherwise)
            yield f"`{result.id}` is contradicted: {advice}."
    for result in evidence.result.deciding:
        if result.verdict is Verdict.INCONCLUSIVE:
            yield f"`{result.id}` is undecided: {_more_episodes(result)}."
    yield FRESH


def _more_episodes(result: CriterionResult) -> str:
    if result.needed_n is None:
        return "no number of episodes is likely to show it at the observed rates"
    return (
        f"declare n = {result.needed_n} (power 0.8 at the observed rates) on a fresh `seed:`, or a "
        "`sequential:` rule; adding episodes to these until it passes is a look too many"
    )


def _after_invalid(evidence: Evidence) -> Iterator[str]:
    for check in evidence.failed_checks:
        # a ledger that was altered is mended; one that is used up is not
        if check.id in FRESH_CHECKS:
            yield f"`{check.id}`: judge the one that was chosen on a fresh `seed:`, once."
        else:
            yield f"Mend `{check.id}` ({plain(check.title)}): {plain(check.detail)}."
    for required in evidence.required:
        if required.verdict is not Verdict.PASS:
            failing = (own for own in required.deciding if own.verdict is not Verdict.PASS)
            names = ", ".join(f"`{own.id}`" for own in failing) or "its own requirements"
            yield (
                f"`{required.name}` is {required.verdict} ({names}): until task and receiver "
                "pass it, nothing about the channel can be read."
            )
    yield "Then run it again. Until it is valid, none of its numbers is a result."


def _after_explored(evidence: Evidence) -> Iterator[str]:
    yield "Judge the codec that was chosen on test episodes: the same command without `--split`."


def _after_not_measured(evidence: Evidence) -> Iterator[str]:
    for reason in evidence.reasons:
        yield f"Measure what is missing: {plain(reason)}."
    yield "Run the whole gate: a gate with a criterion left out has no verdict."
