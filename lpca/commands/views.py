"""`lpca views`: what A is to encode for gates, for a channel that works elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

from lpca.base.arguments import parse_ks
from lpca.base.errors import ExitCode, RequestError
from lpca.base.numbers import plural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--spec", default="gate_specs.yaml", help="names the task and the gates")
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="NAME",
        help="a gate to be answered, once for each; default: all that need a codec",
    )
    parser.add_argument("--k", type=int, metavar="K", help="leave out gates that declare others")
    parser.add_argument(
        "--split", default="test", choices=("test", "validation"), help="as for pytest gates/"
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write a line for each view, in an order that tells nothing."""
    from lpca.base.files import reading, write_text
    from lpca.gate.plan import sound_spec, task_of
    from lpca.gate.views import gates_of_views, is_of_views, views_of, written_views

    with reading(arguments.out):
        if arguments.out.exists() and not is_of_views(arguments.out):
            raise RequestError(
                f"{arguments.out}: it holds no views; allowed: a file of such, or new"
            )
    k = None if arguments.k is None else parse_ks(str(arguments.k))[0]
    spec = sound_spec(arguments.spec)
    gates = gates_of_views(spec, arguments.gate, k)
    views = views_of(spec, task_of(spec), gates, arguments.split)
    text = written_views(views)
    write_text(arguments.out, text)
    lines = text.count("\n")
    print(
        f"{arguments.out}: {plural(lines, 'line')} for {', '.join(gates)}; "
        f"{plural(lines - len(views), 'message')} under two ids"
    )
    print(
        "Answer each with a packet: a file of safetensors with tensors ID.vectors [n, d_model], "
        "ID.ids [n], or ID.cache.LAYER.keys and .values; then: pytest gates/ --packets FILE"
    )
    return ExitCode.PASS
