"""What is attached to a gate's verdict in Allure: its evidence in forms that people read."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from allure_commons.types import AttachmentType

from lpca.evidence import Evidence

LEAST_FOR_A_CURVE = 2


@dataclass(frozen=True)
class Attached:
    """One attachment: its name, content and kind."""

    name: str
    body: bytes
    kind: AttachmentType


def attachments_of(evidence: Evidence, written: bytes) -> Iterator[Attached]:
    """Yield what shows a gate's evidence; `written` is the evidence file as it stands."""
    yield from glance(evidence)
    yield Attached("evidence", written, AttachmentType.JSON)
    yield Attached("episodes", episode_table(evidence).encode(), AttachmentType.CSV)
    yield Attached("prompts as B saw them", prompts(evidence).encode(), AttachmentType.TEXT)
    from lpca.report.figures import name_of, similarity_figure, training_figure

    codec = evidence.codec
    if codec is not None and len(codec.history) >= LEAST_FOR_A_CURVE:
        yield from _picture("training curve", training_figure, evidence)
    if evidence.similarity is not None:
        yield from _picture(
            "prefix similarity",
            lambda shown: similarity_figure(shown.similarity, name_of(shown)),
            evidence,
        )


def glance(evidence: Evidence) -> Iterator[Attached]:
    """Yield the picture of the whole gate."""
    from lpca.report.figures import gate_figure

    yield from _picture("the gate at a glance", gate_figure, evidence)


def _picture(name: str, draw: Callable[[Evidence], Any], evidence: Evidence) -> Iterator[Attached]:
    from lpca.report.figures import FigureError, svg

    try:
        yield Attached(name, svg(draw(evidence)), AttachmentType.SVG)
    except FigureError as error:
        yield Attached(f"no picture of {name}", str(error).encode(), AttachmentType.TEXT)


def episode_table(evidence: Evidence) -> str:
    """Return CSV, a row per episode: what it was, and each condition's outcomes and answer."""
    conditions = list(evidence.conditions)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    head = ["seed", "answers", "wording", "message", "options", "right", "donor"]
    for name in conditions:
        head += [f"{name} likelihood", f"{name} greedy", f"{name} said"]
    table.writerow(head)
    for episode in evidence.episodes:
        row: list[object] = [episode.seed, episode.answers, episode.wording, episode.message]
        row += ["; ".join(episode.options), episode.options[episode.right], episode.donor]
        for name in conditions:
            outcome = episode.outcomes[name]
            row += [int(outcome.likelihood), int(outcome.greedy), (outcome.said or "").strip()]
        table.writerow(row)
    return text.getvalue()


def prompts(evidence: Evidence) -> str:
    """Return the prompts that the evidence keeps as text, each under its hashes."""
    parts = [
        f"=== {prompt.condition}, episode {prompt.seed}\n"
        f"prompt sha256 {prompt.prompt_sha256}\n"
        f"vectors sha256 {prompt.slot_sha256 or '-'}\n\n"
        f"{prompt.text}\n"
        for prompt in evidence.prompts
    ]
    return "\n".join(parts) or "this evidence keeps no prompts as text\n"
