"""The evidence of a pytest run, read back: its outcomes are judged again, its faults stay."""

from __future__ import annotations

from dataclasses import dataclass

from lpca.evidence import Evidence
from lpca.judge.outcomes import OutcomeTable, printable
from lpca.judge.rows import Row, table_of


@dataclass(frozen=True)
class Measured:
    """One gate's episodes at its k, and the validity checks that failed on them."""

    gate: str
    k: int | None
    table: OutcomeTable
    faults: tuple[str, ...]


def measured_of(evidence: Evidence) -> Measured:
    """Return what is judged again; the outcomes are those of the evidence's own score."""
    faults = tuple(printable(f"{one.title}: {one.detail}") for one in evidence.failed_checks)
    return Measured(evidence.gate, evidence.k, table_of_evidence(evidence), faults)


def table_of_evidence(evidence: Evidence) -> OutcomeTable:
    """The outcomes of a run's episodes.

    Raises:
        OutcomeError: as for `table_of`.
    """
    score = evidence.score
    return table_of(
        [
            Row(
                f"episode {index}",
                {
                    "seed": episode.seed,
                    "answers": episode.answers,
                    **{name: found.success(score) for name, found in episode.outcomes.items()},
                },
            )
            for index, episode in enumerate(evidence.episodes, start=1)
        ]
    )
