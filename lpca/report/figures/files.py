"""Evidence files in, pictures out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lpca.files import read_json, write_file
from lpca.judge.measured import is_evidence
from lpca.report.figures.capability import capability_figure
from lpca.report.figures.gate import gate_figure
from lpca.report.figures.rates import rates_figure
from lpca.report.figures.render import render
from lpca.report.figures.similarity import similarity_figure
from lpca.report.figures.style import FigureError
from lpca.report.figures.training import training_figure
from lpca.spec.model import TRUNCATED


def write_pictures(files: Sequence[Path], out: Path, format: str) -> list[Path]:
    """Write every picture that evidence files of one gate allow, and return where they stand.

    Raises:
        FigureError: a file is not evidence, they are of several gates or of one name, or the
            format is unknown.
        StorageError: a file cannot be read or written.
    """
    evidences = {path: _evidence(path) for path in files}
    gates = sorted({str(one["gate"]) for one in evidences.values()})
    if len(gates) > 1:
        raise FigureError(f"evidence of several gates: {', '.join(gates)}; allowed: one at a time")
    if len({path.stem for path in evidences}) < len(files):
        raise FigureError("two files of one name would share their pictures; rename one")
    # all are drawn before one is written: a fault leaves no half a set
    pictures = {
        out / f"{name}.{format}": render(figure, format) for name, figure in _pictures(evidences)
    }
    for path, content in pictures.items():
        write_file(path, partial(_write, content))
    return list(pictures)


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _evidence(path: Path) -> Mapping[str, Any]:
    held = read_json(path)
    if not is_evidence(held):
        raise FigureError(f"{path}: no evidence; allowed: files of .lpca/evidence/")
    evidence: Mapping[str, Any] = held
    return evidence


def _pictures(evidences: Mapping[Path, Mapping[str, Any]]) -> Iterator[tuple[str, Figure]]:
    for path, evidence in evidences.items():
        for name, draw in _allowed(evidence).items():
            try:
                yield f"{path.stem}-{name}", draw(evidence)
            except FigureError as error:
                raise FigureError(f"{path}: {error}") from error
    readable = [one for one in evidences.values() if one.get("verdict") != "INVALID"]
    if len({one.get("k") for one in readable}) > 1:
        yield f"{readable[0]['gate']}-capability", capability_figure(list(evidences.values()))
    if readable and all(map(_has_rates, evidences.values())):
        yield f"{readable[0]['gate']}-rates", rates_figure(list(evidences.values()))


def _has_rates(evidence: Mapping[str, Any]) -> bool:
    """Whether latents and text cut short, or facts, are there with their bits."""
    held = evidence.get("conditions", {})
    texts = {*TRUNCATED, "p5"} & held.keys()
    return bool(texts) and "normal" in held and all("bits" in one for one in held.values())


def _allowed(evidence: Mapping[str, Any]) -> dict[str, Callable[[Mapping[str, Any]], Figure]]:
    allowed: dict[str, Callable[[Mapping[str, Any]], Figure]] = {"glance": gate_figure}
    if (evidence.get("codec") or {}).get("history"):
        allowed["training"] = training_figure
    if evidence.get("similarity"):
        allowed["similarity"] = similarity_figure
    return allowed
