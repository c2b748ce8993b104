"""The index: one row per attempt, gathered from the JSON files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lpca.base.numbers import PERCENT, amount
from lpca.report.attempts import page, published
from lpca.report.attempts.kept import Attempt, AttemptId, Published, facts_of
from lpca.report.markdown import plain, table

SHOWN = ("normal", "p0", "null", "shuffle")
_HEAD = ("attempt", "date", "gate", "receiver", "k", *SHOWN, "status", "verdict")


def index(attempts: Iterable[Attempt | Published]) -> str:
    """Return the Markdown index of kept attempts, by gate and number."""
    rows = [
        _measured(one) if isinstance(one, Attempt) else _published(one)
        for one in sorted(attempts, key=lambda kept: facts_of(kept).identity)
    ]
    lines = [
        "# Attempts",
        "",
        "One row per attempt at a gate, also of those that failed. Success by each gate's own "
        "score. VALID: the validity checks hold; INVALID: they do not, and its numbers are not to "
        "be read; UNCHECKED: it was published without them. The verdict is another matter: it "
        "says what a valid attempt showed.",
        "",
        *table(_HEAD, rows),
    ]
    return "\n".join(lines) + "\n"


def _measured(kept: Attempt) -> list[str]:
    held = kept.evidence
    rates = held.rates
    return [
        _link(kept),
        held.written[:10],
        f"`{held.gate}`",
        plain(held.receiver.name),
        "-" if held.k is None else str(held.k),
        *(amount(rates[name], PERCENT, column=True) if name in rates else "-" for name in SHOWN),
        page.validity(held),
        page.verdict(held),
    ]


def _published(kept: Published) -> list[str]:
    held = kept["attempts"][0]
    invalid = published.validity(held) == "INVALID"
    return [
        _link(kept),
        plain(held["date"]),
        f"`{AttemptId.parse(held['id']).gate}`",
        plain(held["receiver"]),
        "<br>".join(str(one["k"]) for one in held["results"]),
        *(_published_rates(held, name) for name in SHOWN),
        published.validity(held),
        "not read" if invalid else f"NOT MEASURED (published as {plain(held['status'])})",
    ]


def _published_rates(held: Mapping[str, Any], name: str) -> str:
    rates = [published.shown_rate(one.get(name))[0] for one in held["results"]]
    return "<br>".join("-" if rate == "not published" else rate for rate in rates)


def _link(kept: Attempt | Published) -> str:
    identity = facts_of(kept).identity
    return f"[{identity.number:02d}]({identity}.md)"
