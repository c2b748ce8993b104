"""`lpca sabotage`: plant every known fault in a sound run, and show what catches it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lpca.base.errors import ExitCode, RequestError
from lpca.base.registry import suggestion

if TYPE_CHECKING:
    from lpca.sabotage.catalogue import Sabotage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--receiver", default="stub", help="as for pytest gates/")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--only", metavar="NAME[,NAME]", help="names, or `earlier`, `field`")
    parser.add_argument("--sound", type=int, default=0, metavar="N", help="sound runs beside them")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Print the matrix; FAIL where a fault is not caught as it must be, or a sound run accused."""
    from lpca.base.files import cache_dir, write_text
    from lpca.receivers.load import load_receiver
    from lpca.report.console import StderrConsole
    from lpca.sabotage import catalogue
    from lpca.sabotage.faulty_run import SoundParts

    chosen = _chosen(arguments.only)
    if arguments.sound < 0:
        raise RequestError(f"--sound {arguments.sound}: allowed: 0 or more")
    console = StderrConsole()
    receiver = load_receiver(arguments.receiver, arguments.device, "float32")
    cache = cache_dir()
    parts = SoundParts(receiver, cache / "sabotage" / receiver.weights_hash[:16], cache)
    console.tell("training the sound codecs and measuring the sound run")
    first = parts.warm_up()
    if first.verdict != "PASS":
        reasons = ", ".join(sorted(first.fired | first.not_passed))
        raise RequestError(
            f"receiver {arguments.receiver}: the sound run is {first.verdict} ({reasons}); "
            "faults can be planted only where it passes"
        )
    rows, runs = [], []
    for one in chosen:
        rows.append(catalogue.plant(parts, one))
        console.tell(f"{one.name}: {rows[-1].result.verdict}")
    for number in range(arguments.sound):
        runs.append(catalogue.sound_run(parts, number))
        console.tell(f"sound run, seed {runs[-1].task_seed}: {runs[-1].result.verdict}")
    print("\n".join(catalogue.table(rows)))
    wrong = sum(one.accused for one in runs)
    if runs:
        print(f"{wrong} of {len(runs)} sound runs accused")
    if arguments.markdown:
        write_text(arguments.markdown, "\n".join(catalogue.markdown(rows)) + "\n")
    sound_all = all(row.caught for row in rows) and not wrong
    return ExitCode.PASS if sound_all else ExitCode.FAIL


def _chosen(only: str | None) -> list[Sabotage]:
    from lpca.sabotage.catalogue import SABOTAGES

    every = list(SABOTAGES.values())
    if only is None:
        return every
    wanted = only.split(",")
    known = {*SABOTAGES, *(one.source for one in every)}
    if unknown := [name for name in wanted if name not in known]:
        hint, _, every_name = suggestion(unknown[0], sorted(known)).rpartition("allowed: ")
        told = hint or f"allowed: {every_name}"
        raise RequestError(f"--only {unknown[0]}: no such sabotage; {told}".rstrip())
    return [one for one in every if {one.name, one.source} & set(wanted)]
