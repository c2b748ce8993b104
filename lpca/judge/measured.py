"""The evidence of a pytest run, read back: its outcomes are judged again, its faults stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lpca.judge.outcomes import OutcomeError, OutcomeTable, clipped, printable
from lpca.judge.rows import Row, table_of


@dataclass(frozen=True)
class Measured:
    """One gate's episodes at its k, and the validity checks that failed on them."""

    gate: str
    k: int | None
    table: OutcomeTable
    faults: tuple[str, ...]


def is_evidence(held: Any) -> bool:
    """Whether a JSON object is the evidence of a run."""
    return isinstance(held, dict) and {"gate", "score", "checks", "episodes"} <= held.keys()


def measured_of(held: Mapping[str, Any]) -> Measured:
    """Read evidence; the outcomes are those of its own score.

    Raises:
        OutcomeError: an episode or a check is not as a run writes it, or as for `table_of`.
    """
    try:
        rows = [_row(index, one, held["score"]) for index, one in enumerate(held["episodes"], 1)]
        failed = [one for one in held["checks"] if one["passed"] is False]
        faults = tuple(printable(f"{one['title']}: {one['detail']}") for one in failed)
        return Measured(str(held["gate"]), held.get("k"), table_of(rows), faults)
    except (LookupError, TypeError, AttributeError) as error:
        raise OutcomeError(f"this evidence is incomplete ({clipped(repr(error))})") from None


def _row(index: int, episode: Mapping[str, Any], score: str) -> Row:
    kept = {"seed": episode["seed"], "answers": episode["answers"]}
    outcomes = {name: one[score] for name, one in episode["outcomes"].items()}
    return Row(f"episode {index}", {**kept, **outcomes})
