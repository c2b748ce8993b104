"""Evidence files, or the folder of a lab, in; pictures out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lpca.base.files import read_json, write_bytes
from lpca.base.hashing import CONTENT, is_altered
from lpca.evidence.files import has_hash, read_evidence
from lpca.evidence.model import Evidence
from lpca.judge.stored import read_stored
from lpca.report.figures import capability
from lpca.report.figures.diagnosis import similarity_figure, training_figure
from lpca.report.figures.gate import gate_figure
from lpca.report.figures.style import FigureError, name_of, render

TABLE = "table.json"
"""What makes a folder a lab's: it names each codec's evidence."""


def write_pictures(
    paths: Sequence[Path],
    out: Path,
    format: str,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Path]:
    """Write every picture that evidence of one gate allows.

    Args:
        paths: evidence files, or folders that `lpca lab` filled: every codec of its table.
        out: the folder to fill.
        format: one of FORMATS.
        tell: called with one line for each file that an earlier version wrote, without a hash.

    Returns:
        Where the pictures stand.

    Raises:
        FigureError: a file is not evidence, a folder is no lab's, they are of several gates or of
            one name, or the format is unknown.
        EvidenceError: evidence was altered, or its verdict is not what its outcomes come to.
        StorageError: a file cannot be read or written.
    """
    sources = [source for path in paths for source in sources_of(path)]
    evidences = [_evidence(path, tell) for path, _ in sources]
    gates = sorted({one.gate for one in evidences})
    if len(gates) > 1:
        raise FigureError(f"evidence of several gates: {', '.join(gates)}; allowed: one at a time")
    if len({name for _, name in sources}) < len(sources):
        raise FigureError("two files of one name would share their pictures; rename one")
    own = (_of_one(*source, held) for source, held in zip(sources, evidences, strict=True))
    drawn = chain(chain.from_iterable(own), _of_all(evidences))
    # all are drawn before one is written: a fault leaves no half a set
    pictures = {out / f"{name}.{format}": render(figure, format) for name, figure in drawn}
    for path, content in pictures.items():
        write_bytes(path, content)
    return list(pictures)


def _evidence(path: Path, tell: Callable[[str], None]) -> Evidence:
    """A run's evidence; of earlier forms also without its episodes, from which nothing follows."""
    held = read_json(path)
    if isinstance(held, dict) and held.get("episodes") == [] and not has_hash(held):
        tell(f"{path}: it keeps neither episodes nor a hash: nothing of it is decided again")
        return read_evidence(path)
    return read_stored(path, tell=tell)


def sources_of(path: Path) -> list[tuple[Path, str]]:
    """Evidence files, and how the names of their pictures begin, of a file or a folder of a lab.

    Raises:
        FigureError: the folder is no lab's, or its table was altered.
        StorageError: the table cannot be read.
    """
    if not path.is_dir():
        return [(path, path.stem)]
    table = path / TABLE
    if not table.exists():
        raise FigureError(
            f"{path}: no {TABLE} is there; allowed: evidence files, a folder that lpca lab filled"
        )
    try:
        held = read_json(table)
        codecs = held["codecs"]
        # before, there was no hash
        if CONTENT in held and is_altered(held):
            raise FigureError(f"{table}: its content is not what was written: its {CONTENT}")
        sources = [_of_codec(path, codec) for codec in codecs if codec.get("evidence") is not None]
    except (LookupError, TypeError, AttributeError) as error:
        raise FigureError(f"{table}: this is no table of lpca lab") from error
    if not sources:
        raise FigureError(f"{table}: no codec of it is measured yet")
    return sources


def _of_codec(folder: Path, codec: Mapping[str, Any]) -> tuple[Path, str]:
    """Rows and seeds have files of one name, in different folders."""
    file = folder / codec["evidence"]
    row = re.sub(r"\W+", "-", codec["row"].lower()).strip("-")
    return file, f"{file.stem}-{row}-seed{codec['seed']}"


def _of_one(path: Path, name: str, evidence: Evidence) -> Iterator[tuple[str, Figure]]:
    try:
        yield f"{name}-glance", gate_figure(evidence)
        if evidence.codec is not None and evidence.codec.history:
            yield f"{name}-training", training_figure(evidence)
        similar = evidence.similarity
        if similar is not None and similar.right:
            yield f"{name}-similarity", similarity_figure(similar, name_of(evidence))
    except FigureError as error:
        raise FigureError(f"{path}: {error}") from error


def _of_all(evidences: Sequence[Evidence]) -> Iterator[tuple[str, Figure]]:
    curve = capability.of_one_curve(evidences)
    if len({one.k for one in curve if not one.is_invalid}) > 1:
        yield f"{curve[0].gate}-capability", capability.capability_figure(curve)
    readable = [evidence for evidence in evidences if not evidence.is_invalid]
    if readable and all(map(capability.has_rates, evidences)):
        yield f"{readable[0].gate}-rates", capability.rates_figure(evidences)
