"""A gate's evidence as a small table for notebooks: HTML that asks for nothing outside itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base.errors import RequestError
from lpca.base.files import write_bytes
from lpca.base.numbers import PERCENT, amount, level
from lpca.base.registry import suggestion
from lpca.evidence.model import CriterionResult, Evidence, GateResult
from lpca.report.markdown import criterion_numbers
from lpca.report.next_steps import found_in, next_step
from lpca.report.sentences import checks_passed, closing, unsaid
from lpca.report.terminal import success_cells
from lpca.stats.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
TABLES = ("conditions", "criteria", "episodes")
"""What a data frame can be made of."""


@dataclass(frozen=True)
class Picture:
    """A picture that a notebook shows; elsewhere `save` writes it."""

    figure: Figure

    def _repr_svg_(self) -> str:
        from lpca.report.figures.style import svg

        return svg(self.figure).decode()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as svg, pdf or png, by the file's ending; FigureError for any other."""
        from lpca.report.figures.style import render

        write_bytes(Path(path), render(self.figure, Path(path).suffix.removeprefix(".")))

    def __repr__(self) -> str:
        return "<Picture: shown in a notebook; .save('gate.svg') writes it>"


def table_rows(evidence: Evidence, table: str) -> list[dict[str, Any]]:
    """A gate's conditions, criteria or episodes as rows of plain values; rates are proportions.

    Args:
        evidence: the gate's.
        table: one of TABLES.

    Raises:
        RequestError: it is none of them.
    """
    if table not in TABLES:
        raise RequestError(f"table {table!r:.60}: {suggestion(table, TABLES)}")
    rows: Mapping[str, Callable[[Evidence], Iterable[dict[str, Any]]]] = {
        "conditions": _condition_rows,
        "criteria": _criterion_rows,
        "episodes": _episode_rows,
    }
    return list(rows[table](evidence))


def _condition_rows(evidence: Evidence) -> Iterator[dict[str, Any]]:
    for name, numbers in evidence.conditions.items():
        held = numbers.under(evidence.score)
        yield {
            "condition": name,
            "n": numbers.n,
            "successes": held.successes,
            "rate": numbers.rate(evidence.score),
            "low": held.interval.low,
            "high": held.interval.high,
            evidence.other_score: numbers.rate(evidence.other_score),
        }


def _criterion_rows(evidence: Evidence) -> Iterator[dict[str, Any]]:
    for one in evidence.criteria:
        yield {
            "criterion": one.id,
            "claim": one.text,
            "verdict": str(one.verdict),
            "estimate": one.estimate,
            "low": one.interval and one.interval.low,
            "high": one.interval and one.interval.high,
            "n": one.n,
            "n_needed": one.needed_n,
            "p_pass": one.p_pass,
            "p_fail": one.p_fail,
        }


def _episode_rows(evidence: Evidence) -> Iterator[dict[str, Any]]:
    """A row an episode, with the success of each condition's first answer."""
    for one in evidence.episodes:
        told = {name: found.success(evidence.score) for name, found in one.outcomes.items()}
        yield {"seed": one.seed, "group": one.shared, **told}


def gate_html(evidence: Evidence) -> str:
    """Return one `<div>`: verdict, failed checks, conditions, criteria; every text escaped."""
    parts = [_head(evidence), _facts(evidence), *map(_required, evidence.required)]
    read = "<p>No criterion was read.</p>" if evidence.is_invalid else _criteria(evidence.criteria)
    step = next_step(found_in(evidence))
    so = f"<p><b>So:</b> {escape(closing(evidence.verdict, evidence.criteria, step))}</p>"
    parts += [_reasons(evidence.reasons), so, _conditions(evidence), read]
    parts.append(_checks(evidence))
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
    rows, other = [], evidence.other_score
    for name, numbers in evidence.conditions.items():
        cells = success_cells(escape(name), numbers.n, numbers.under(evidence.score))
        rows.append([*cells, amount(numbers.rate(other), PERCENT, column=True)])
    interval = f"{level(evidence.confidence)} interval"
    return _table(["condition", "success", "rate", interval, other], rows)


def _criteria(criteria: Sequence[CriterionResult]) -> str:
    rows = []
    for result in criteria:
        numbers = criterion_numbers(result)
        name = f'<span title="{escape(result.message)}">{escape(result.id)}</span>'
        shown = [numbers[name] for name in ("estimate", "interval", "counts")]
        place = escape(f"{result.position.file}:{result.position.line}")
        badge = _badge(result.verdict) + ("" if result.decides else " warns only")
        needed = str(result.needed_n or "")
        rows.append([name, escape(result.text), *shown, badge, needed, place])
    head = ["criterion", "claim", "estimate", "interval", "a b c d", "verdict", "n needed"]
    head.append("spec line")
    return _table(head, rows)


def _checks(evidence: Evidence) -> str:
    apart = [one for one in evidence.checks if one not in evidence.applied_checks]
    head = f"validity: {checks_passed(evidence, 'checks')}"
    silent = "".join(f"<p>{escape(told)}</p>" for told in unsaid(evidence))
    rest = "".join(f"<li>{escape(f'{one.id}: {one.detail}')}</li>" for one in apart)
    folded = f"; {len(apart)} {'do' if len(apart) > 1 else 'does'} not apply" if apart else ""
    return f"{silent}<details><summary>{head}{folded}</summary><ul>{rest}</ul></details>"


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows` are HTML already."""
    top = "".join(f'<th style="{_CELL}">{escape(cell)}</th>' for cell in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
