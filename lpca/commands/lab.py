"""`lpca lab`: run a declared grid of codecs under one gate, and write one table."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from lpca.base.arguments import DEVICES
from lpca.base.exit_codes import ExitCode, worst
from lpca.commands.cli import require_between

if TYPE_CHECKING:
    from lpca.gate.runner import Console
    from lpca.gatespec.model import Spec
    from lpca.lab.grid import Grid
    from lpca.lab.on_ray import RayWork
    from lpca.lab.table import Table
    from lpca.lab.work import Work

OUT, LOCAL = ".lpca/lab", "local"
MOST_EPISODES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("grid", help="the grid, a YAML file")
    parser.add_argument("--receiver", help="in place of the grid's")
    parser.add_argument("--device", default="auto", choices=DEVICES)
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
    from lpca.lab.grid import gate_of, read_grid

    require_between("--batch-size", arguments.batch_size, MOST_EPISODES)
    grid = read_grid(arguments.grid)
    spec = sound_spec(grid.spec)
    gate_of(grid, spec)
    return worst(_codes(_measured(arguments, grid, spec, arguments.out or Path(OUT) / grid.name)))


def _codes(table: Table) -> Iterator[ExitCode]:
    from lpca.stats import Verdict

    unread = {Verdict.INVALID: ExitCode.INVALID, Verdict.NOT_MEASURED: ExitCode.NOT_MEASURED}
    for one in table.entries:
        yield (
            unread.get(one.reading.verdict, ExitCode.PASS) if one.reading else ExitCode.INTERRUPTED
        )


def _measured(arguments: argparse.Namespace, grid: Grid, spec: Spec, out: Path) -> Table:
    from lpca.lab.files import FILES, table_of, write_table
    from lpca.lab.show import text
    from lpca.lab.work import without_beside
    from lpca.report.console import StderrConsole

    begin: Callable[..., Work | RayWork] = _here if arguments.engine == LOCAL else _on_ray
    with StderrConsole() as console, ExitStack() as held:
        work = begin(arguments, grid, without_beside(spec, grid.gate), out, console, held)
        try:
            table = table_of(work.results)
            write_table(table, out)
            for _ in work.cells():
                table = table_of(work.results)
                write_table(table, out)
        except KeyboardInterrupt:
            console.close()
            console.tell("interrupted; the same command goes on from here")
            raise
    print("\n".join([*text(table), "", *(str(out / name) for name in FILES)]))
    return table


def _here(
    arguments: argparse.Namespace,
    grid: Grid,
    spec: Spec,
    out: Path,
    console: Console,
    held: ExitStack,
) -> Work:
    from lpca.base.files import cache_dir
    from lpca.gate.evidence import command_line
    from lpca.gate.plan import task_of
    from lpca.lab.results import Results, name_cells
    from lpca.lab.work import Bench, Work
    from lpca.receivers.load import load_receiver

    name = arguments.receiver or grid.receiver
    console.tell(f"loading receiver {name}")
    receiver = load_receiver(name, arguments.device, grid.dtype)
    results = Results(grid, spec, out, name_cells(grid, spec, task_of(spec), receiver))
    size, command = arguments.batch_size, tuple(command_line())
    return Work(results, Bench(spec, receiver, cache_dir(), _ledger(grid), size, command, console))


def _on_ray(
    arguments: argparse.Namespace,
    grid: Grid,
    spec: Spec,
    out: Path,
    console: Console,
    held: ExitStack,
) -> RayWork:
    """The cluster is left when `held` is closed."""
    from lpca.gate.plan import task_of
    from lpca.lab.on_ray import RayWork, cluster
    from lpca.lab.remote import order_of
    from lpca.lab.results import Results

    name = arguments.receiver or grid.receiver
    order = order_of(grid, spec, task_of(spec), name, arguments.device, arguments.batch_size)
    joined = held.enter_context(cluster(arguments.engine))
    console.tell(f"loading receiver {name} on the cluster")
    results = Results(grid, spec, out, joined.name(order))
    return RayWork(results, order, _ledger(grid), console, joined)


def _ledger(grid: Grid) -> Path:
    from lpca.gate.plan import LEDGER

    return grid.spec.resolve().parent / LEDGER
