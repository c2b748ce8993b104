"""A grid's table, from what is measured to the files of its folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from lpca.base.files import write_file, write_json
from lpca.lab.results import Results
from lpca.lab.show import as_csv, markdown
from lpca.lab.table import Entry, Table
from lpca.report.figures import lab_figure, svg

FILES = ("table.md", "table.csv", "forest.svg", "table.json")
"""What is written; the last one when the others are there."""


def write_table(table: Table, out: Path) -> None:
    """Write the table in every form; StorageError when it cannot be."""
    data = table.to_dict()
    texts = (markdown(table).encode(), as_csv(table).encode(), svg(lab_figure(data)))
    for name, content in zip(FILES, texts, strict=False):
        write_file(out / name, partial(_write, content))
    write_json(out / FILES[-1], data, indent=1)


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


def table_of(results: Results) -> Table:
    """A grid's table as far as it is measured."""
    grid, spec = results.grid, results.spec
    gate = spec.gates[grid.gate]
    about: dict[str, Any] = {
        "name": grid.name,
        "gate": gate.name,
        "spec": Path(spec.file).name,
        "n": spec.episodes(gate),
        "answers": gate.answers,
        "score": spec.evaluation.score,
        "confidence": spec.evaluation.confidence,
        "announced": spec.evaluation.checkpoints,
        "receiver": dict(results.named.receiver),
        "recipes": {row.name: row.recipe.content() for row in grid.rows},
    }
    entries = [
        Entry(
            cell.row.name,
            cell.k,
            cell.seed,
            str(results.evidence(cell).relative_to(results.folder)),
            results.reading(cell),
        )
        for cell in grid.in_order()
    ]
    return Table(about, entries)
