"""`lpca lab`: run a declared grid of codecs under one gate, and write one table."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lpca.base.arguments import add_loading
from lpca.base.errors import ExitCode, RequestError, worst
from lpca.commands.cli import require_between

if TYPE_CHECKING:
    from lpca.gatespec.model import Spec
    from lpca.lab.grid import Grid

OUT, LOCAL = ".lpca/lab", "local"
MOST_EPISODES = 10_000
HOW = ("device", "attn", "device_map")
"""What is said here of how a receiver is loaded; its type is the grid's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("grid", help="the grid, a YAML file")
    parser.add_argument("--run", help="of a grid with runs only this one")
    parser.add_argument("--receiver", help="in place of the grid's, or of the named run's")
    add_loading(parser.add_argument, *HOW)
    parser.add_argument("--batch-size", type=int, default=32, help="episodes at a time (32)")
    parser.add_argument(
        "--engine",
        default=LOCAL,
        metavar=f"{LOCAL}|ray[://HOST:PORT]",
        help="where codecs are measured: this process, or a Ray cluster (lpca[ray])",
    )
    parser.add_argument("--out", type=Path, help=f"folder to fill ({OUT}/NAME of the grid)")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Measure what is not there yet, and write the table: PASS when every codec can be read.

    Else INVALID or NOT_MEASURED, whatever the verdicts are: a grid is no gate.
    """
    from lpca.gate.plan import sound_spec
    from lpca.lab.grid import gate_of, read_grid, read_grids

    require_between("--batch-size", arguments.batch_size, MOST_EPISODES)
    if arguments.run:
        grids = [read_grid(arguments.grid, arguments.run)]
    else:
        grids = read_grids(arguments.grid)
    if arguments.receiver and len(grids) > 1:
        raise RequestError("--receiver: allowed for one run of the grid; name it with --run")
    specs = [sound_spec(grid.spec) for grid in grids]
    for grid, spec in zip(grids, specs, strict=True):
        gate_of(grid, spec)
    out = arguments.out or Path(OUT) / Path(arguments.grid).stem
    return worst(
        _one(arguments, grid, spec, out / grid.run) for grid, spec in zip(grids, specs, strict=True)
    )


def _one(arguments: argparse.Namespace, grid: Grid, spec: Spec, out: Path) -> ExitCode:
    """Measure one grid, as far as it is not measured yet."""
    # these load torch, for seconds: a wrong grid is refused before
    from lpca.lab.engines import Job, engine_of
    from lpca.lab.results import without_shown_with
    from lpca.lab.table import FILES, table_of, text, write_table
    from lpca.report.console import StderrConsole
    from lpca.stats.verdicts import Verdict

    with StderrConsole() as console:
        job = Job(
            engine=arguments.engine,
            grid=grid,
            spec=without_shown_with(spec, grid.gate),
            out=out,
            receiver=arguments.receiver or grid.receiver,
            how={name: getattr(arguments, name) for name in HOW},
            batch_size=arguments.batch_size,
            console=console,
        )
        with engine_of(arguments.engine).opened(job) as engine:
            try:
                table = table_of(engine.results)
                write_table(table, out)
                for _ in engine.cells():
                    table = table_of(engine.results)
                    write_table(table, out)
            except KeyboardInterrupt:
                console.close()
                console.tell("interrupted; the same command goes on from here")
                raise
    print("\n".join([*text(table), "", *(str(out / name) for name in FILES)]))
    unread = {
        None: ExitCode.INTERRUPTED,
        Verdict.INVALID: ExitCode.INVALID,
        Verdict.NOT_MEASURED: ExitCode.NOT_MEASURED,
    }
    came_to = (entry.summary.verdict if entry.summary else None for entry in table.entries)
    return worst(unread.get(verdict, ExitCode.PASS) for verdict in came_to)
