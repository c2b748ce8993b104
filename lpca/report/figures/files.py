"""Evidence files, or the folder of a lab, in; pictures out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lpca.base.files import read_json, write_file
from lpca.evidence import Evidence, read_evidence
from lpca.gatespec.model import TRUNCATED
from lpca.report.figures.capability import capability_figure, finite_bits
from lpca.report.figures.gate import gate_figure
from lpca.report.figures.rates import rates_figure
from lpca.report.figures.readings import name_of
from lpca.report.figures.render import render
from lpca.report.figures.similarity import similarity_figure
from lpca.report.figures.style import FigureError
from lpca.report.figures.training import training_figure

TABLE = "table.json"
"""What makes a folder a lab's: it names each codec's evidence."""


@dataclass(frozen=True)
class Source:
    """An evidence file; its pictures' names begin with `name`."""

    path: Path
    name: str


def write_pictures(paths: Sequence[Path], out: Path, format: str) -> list[Path]:
    """Write every picture that evidence of one gate allows, and return where they stand.

    A path is an evidence file or a folder that `lpca lab` filled: every codec of its table.

    Raises:
        FigureError: a file is not evidence, a folder is no lab's, they are of several gates or of
            one name, or the format is unknown.
        StorageError: a file cannot be read or written.
    """
    sources = [one for path in paths for one in _sources(path)]
    evidences = {one: read_evidence(one.path) for one in sources}
    gates = sorted({one.gate for one in evidences.values()})
    if len(gates) > 1:
        raise FigureError(f"evidence of several gates: {', '.join(gates)}; allowed: one at a time")
    if len({one.name for one in evidences}) < len(sources):
        raise FigureError("two files of one name would share their pictures; rename one")
    # all are drawn before one is written: a fault leaves no half a set
    pictures = {
        out / f"{name}.{format}": render(figure, format) for name, figure in _pictures(evidences)
    }
    for path, content in pictures.items():
        write_file(path, partial(_write, content))
    return list(pictures)


def _sources(path: Path) -> list[Source]:
    if not path.is_dir():
        return [Source(path, path.stem)]
    table = path / TABLE
    if not table.exists():
        raise FigureError(
            f"{path}: no {TABLE} is there; allowed: evidence files, a folder that lpca lab filled"
        )
    try:
        sources = [_of_codec(path, one) for one in read_json(table)["codecs"] if _is_measured(one)]
    except (LookupError, TypeError, AttributeError) as error:
        raise FigureError(f"{table}: this is no table of lpca lab") from error
    if not sources:
        raise FigureError(f"{table}: no codec of it is measured yet")
    return sources


def _is_measured(codec: Mapping[str, Any]) -> bool:
    return codec.get("evidence") is not None


def _of_codec(folder: Path, codec: Mapping[str, Any]) -> Source:
    """Rows and seeds have files of one name, in different folders."""
    file = folder / codec["evidence"]
    row = re.sub(r"\W+", "-", codec["row"].lower()).strip("-")
    return Source(file, f"{file.stem}-{row}-seed{codec['seed']}")


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def _pictures(evidences: Mapping[Source, Evidence]) -> Iterator[tuple[str, Figure]]:
    for source, evidence in evidences.items():
        for name, draw in _allowed(evidence).items():
            try:
                yield f"{source.name}-{name}", draw(evidence)
            except FigureError as error:
                raise FigureError(f"{source.path}: {error}") from error
    curve = _of_one_curve(list(evidences.values()))
    if len({one.k for one in _readable(curve)}) > 1:
        yield f"{curve[0].gate}-capability", capability_figure(curve)
    readable = _readable(evidences.values())
    if readable and all(map(_has_rates, evidences.values())):
        yield f"{readable[0].gate}-rates", rates_figure(list(evidences.values()))


def _readable(evidences: Iterable[Evidence]) -> list[Evidence]:
    return [one for one in evidences if not one.is_invalid]


def _of_one_curve(evidences: Sequence[Evidence]) -> Sequence[Evidence]:
    """Against k: without the codecs of a finite rate, where others are there."""
    rated = map(_has_rates, evidences)
    nominal = [
        one
        for one, has_rates in zip(evidences, rated, strict=True)
        if not has_rates or finite_bits(one) is None
    ]
    return nominal or evidences


def _has_rates(evidence: Evidence) -> bool:
    """Whether latents and text cut short, or facts, are there with their bits."""
    held = evidence.conditions
    texts = {*TRUNCATED, "p5"} & held.keys()
    return bool(texts) and "normal" in held and all(one.bits is not None for one in held.values())


def _allowed(evidence: Evidence) -> dict[str, Callable[[Evidence], Figure]]:
    allowed: dict[str, Callable[[Evidence], Figure]] = {"glance": gate_figure}
    if evidence.codec is not None and evidence.codec.history:
        allowed["training"] = training_figure
    if evidence.similarity is not None and evidence.similarity.right:
        allowed["similarity"] = lambda one: similarity_figure(one.similarity, name_of(one))
    return allowed
