"""The index: one row per attempt, gathered from the JSON files beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lpca.report.attempts import page, published
from lpca.report.attempts.kept import RECORD, AttemptId
from lpca.report.markdown import plain, table

SHOWN = ("normal", "p0", "null", "shuffle")
_HEAD = ("attempt", "date", "gate", "receiver", "k", *SHOWN, "status", "verdict")


def index(attempts: Iterable[Mapping[str, Any]]) -> str:
    """Return the Markdown index of kept attempts, by gate and number."""
    rows = [
        _published(one) if "attempts" in one else _measured(one)
        for one in sorted(attempts, key=lambda kept: AttemptId.parse(kept[RECORD]["id"]))
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


def _measured(kept: Mapping[str, Any]) -> list[str]:
    return [
        _link(kept),
        kept["written"][:10],
        f"`{kept['gate']}`",
        plain(kept["receiver"]["name"]),
        "-" if kept["k"] is None else str(kept["k"]),
        *(_rate(kept["conditions"].get(name), kept["score"]) for name in SHOWN),
        page.validity(kept),
        page.verdict(kept),
    ]


def _rate(numbers: Mapping[str, Any] | None, score: str) -> str:
    return "-" if numbers is None else f"{numbers[score]['successes'] / numbers['n']:.1%}"


def _published(kept: Mapping[str, Any]) -> list[str]:
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


def _link(kept: Mapping[str, Any]) -> str:
    identity = AttemptId.parse(kept[RECORD]["id"])
    return f"[{identity.number:02d}]({identity}.md)"
