"""`lpca runs`: every run whose evidence is kept, as a table for people or for programs."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from lpca.base.errors import ExitCode, RequestError
from lpca.base.files import write_bytes
from lpca.base.numbers import PERCENT, amount
from lpca.commands.cli import tell
from lpca.evidence.model import Evidence
from lpca.evidence.runs import EVIDENCE, KeptRun, codec_name, kept_runs, receiver_name

FORMATS = ("table", "csv", "json", "parquet")
SHOWN = ("normal", "shuffle")
"""Conditions whose success stands in the table."""
HEADS = ("run", "when", "gate", "k", "codec", "receiver", "n", *SHOWN, "verdict")
LONGEST = 20
"""Characters of a name in the table."""
NEEDS_PYARROW = "--format parquet: pyarrow is not installed; pip install 'lpca[parquet]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--folder", default=EVIDENCE, help="of evidence; default: %(default)s")
    parser.add_argument("--gate", help="only runs of this gate")
    parser.add_argument("--format", default="table", choices=FORMATS)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write there, not to the terminal")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the runs, the oldest first: PASS also where there are none."""
    found = kept_runs(Path(arguments.folder), tell)
    runs = [one for one in found if arguments.gate in (None, one.evidence.gate)]
    content = _content(arguments.format, runs, arguments)
    if arguments.out is not None:
        write_bytes(arguments.out, content)
        print(arguments.out)
    else:
        print(content.decode(), end="")
    return ExitCode.PASS


def _content(format: str, runs: Sequence[KeptRun], arguments: argparse.Namespace) -> bytes:
    if format == "parquet":
        if arguments.out is None:
            raise RequestError("--format parquet: allowed with --out FILE")
        return _parquet(list(map(row_of, runs)))
    if format == "csv":
        return _csv(list(map(row_of, runs))).encode()
    if format == "json":
        return f"{json.dumps(list(map(row_of, runs)), indent=1, allow_nan=False)}\n".encode()
    if not runs:
        return f"no run is kept in {arguments.folder}; pytest gates/ keeps each\n".encode()
    return "".join(f"{line}\n" for line in _table(runs)).encode()


def row_of(run: KeptRun) -> dict[str, object]:
    """One run for programs: rates are proportions, each condition's its own column."""
    held = run.evidence
    codec, receiver = held.codec, held.receiver
    return {
        "run": run.id,
        "name": run.name,
        "file": str(run.path),
        "written": held.written,
        "gate": held.gate,
        "k": held.k,
        "codec": codec_name(codec) or None,
        "codec_origin": codec and codec.origin,
        "codec_seed": codec and codec.seed,
        "codec_sha256": held.hashes.codec,
        "receiver": receiver.name,
        "receiver_dtype": receiver.dtype,
        "task": str(held.task.get("name")),
        "spec_sha256": held.hashes.spec,
        "score": held.score,
        "n": held.looks.used,
        "verdict": str(held.verdict),
        "reasons": "; ".join(held.reasons),
        **{f"rate_{name}": rate for name, rate in held.rates.items()},
    }


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _parquet(rows: Sequence[Mapping[str, object]]) -> bytes:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise RequestError(NEEDS_PYARROW) from None
    names = _columns(rows)
    held = arrow.table({name: [row.get(name) for row in rows] for name in names})
    sink = arrow.BufferOutputStream()
    parquet.write_table(held, sink)
    return bytes(sink.getvalue())


def _table(runs: Sequence[KeptRun]) -> list[str]:
    rows = [HEADS, *(_cells(run.id, run.evidence) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = {HEADS.index(name) for name in ("k", "n", *SHOWN)}
    return [
        "  ".join(
            cell.rjust(size) if place in right else cell.ljust(size)
            for place, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _cells(name: str, held: Evidence) -> tuple[str, ...]:
    rates = {one: amount(rate, PERCENT, column=True) for one, rate in held.rates.items()}
    return (
        name,
        held.written[:16].replace("T", " "),
        _cut(held.gate),
        "-" if held.k is None else str(held.k),
        _cut(codec_name(held.codec)) or "-",
        _cut(receiver_name(held)),
        str(held.looks.used),
        *(rates.get(one, "-") for one in SHOWN),
        str(held.verdict),
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"
