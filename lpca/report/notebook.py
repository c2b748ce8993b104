"""A gate's evidence as a small table for notebooks: HTML that asks for nothing outside itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lpca.base.numbers import level
from lpca.evidence.model import CheckResult, CriterionResult, Evidence, GateResult
from lpca.report.markdown import criterion_numbers
from lpca.report.terminal import success_cells
from lpca.stats.verdicts import Verdict

COLOURS = {
    Verdict.PASS: "#1a7f37",
    Verdict.FAIL: "#b42318",
    Verdict.INCONCLUSIVE: "#8a5a00",
    Verdict.INVALID: "#6e3ab0",
    Verdict.NOT_MEASURED: "#57606a",
    Verdict.EXPLORED: "#0550ae",
}
"""Backgrounds on which white can be read; the verdict stands on them in words."""
_CELL = "padding:2px 10px;text-align:left;white-space:nowrap"


def gate_html(evidence: Evidence) -> str:
    """Return one `<div>`: verdict, failed checks, conditions, criteria; every text escaped."""
    parts = [_head(evidence), _facts(evidence), *map(_required, evidence.required)]
    read = "<p>No criterion was read.</p>" if evidence.is_invalid else _criteria(evidence.criteria)
    parts += [_reasons(evidence.reasons), _conditions(evidence), read, _checks(evidence.checks)]
    return f'<div class="lpca-gate">{"".join(parts)}</div>'


def recipe_html(
    label: str, verdict: Verdict, told: Sequence[str], seeds: Iterable[Evidence]
) -> str:
    """Return one `<div>`: the verdict on a recipe, what it rests on, and each seed's gate."""
    head = f"<p><b>{escape(label)}</b> {_badge(verdict)}</p>"
    return f"<div>{head}{_reasons(told)}{''.join(map(gate_html, seeds))}</div>"


def _head(evidence: Evidence) -> str:
    name, title = escape(evidence.label), escape(evidence.title)
    return f"<p><b>{name}</b> {_badge(evidence.verdict)} {title}</p>"


def _badge(verdict: Verdict) -> str:
    style = f"background:{COLOURS[verdict]};color:#fff;padding:1px 8px;border-radius:3px"
    return f'<b style="{style}">{escape(verdict)}</b>'


def _facts(evidence: Evidence) -> str:
    receiver, codec = evidence.receiver, evidence.codec
    facts = [
        f"receiver {receiver.name} ({receiver.dtype}, {receiver.device})",
        f"answers {evidence.answers}",
        f"scored by {evidence.score}",
    ]
    if codec is not None:
        facts.append(f"codec {codec.architecture} ({codec.origin})")
    return f"<p>{escape(', '.join(facts))}</p>"


def _required(gate: GateResult) -> str:
    return f"<p>required {escape(gate.name)} {_badge(gate.verdict)}</p>"


def _reasons(reasons: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(reason)}</li>" for reason in reasons)
    return f"<ul>{items}</ul>" if items else ""


def _conditions(evidence: Evidence) -> str:
    rows = []
    for name, numbers in evidence.conditions.items():
        rows.append(success_cells(escape(name), numbers.n, numbers.under(evidence.score)))
    return _table(["condition", "success", "rate", f"{level(evidence.confidence)} interval"], rows)


def _criteria(criteria: Sequence[CriterionResult]) -> str:
    rows = []
    for result in criteria:
        numbers = criterion_numbers(result)
        name = f'<span title="{escape(result.message)}">{escape(result.id)}</span>'
        shown = [numbers[name] for name in ("estimate", "interval", "counts")]
        place = escape(f"{result.position.file}:{result.position.line}")
        badge = _badge(result.verdict) + ("" if result.decides else " warns only")
        rows.append([name, escape(result.text), *shown, badge, place])
    head = ["criterion", "claim", "estimate", "interval", "a b c d", "verdict", "spec line"]
    return _table(head, rows)


def _checks(checks: Sequence[CheckResult]) -> str:
    passed = sum(check.passed is True for check in checks)
    untold = [check for check in checks if check.passed is None]
    head = f"validity: {passed} of {len(checks) - len(untold)} checks passed"
    rest = "".join(f"<li>{escape(f'{check.id}: {check.detail}')}</li>" for check in untold)
    folded = f"; {len(untold)} cannot tell or do not apply" if untold else ""
    return f"<details><summary>{head}{folded}</summary><ul>{rest}</ul></details>"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows` are HTML already."""
    top = "".join(f'<th style="{_CELL}">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
