"""`lpca train`: train a codec for a receiver on a spec's task, and keep its checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from lpca.base.arguments import RECEIVER, loading
from lpca.base.errors import ExitCode, RequestError
from lpca.codec.recipe import ARCHITECTURES, TOKEN_POOLER, Recipe
from lpca.commands.cli import add_receiver_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("--spec", default="gate_specs.yaml", help="names the task")
    add_receiver_arguments(parser, RECEIVER)
    parser.add_argument(
        "--architecture",
        choices=tuple(ARCHITECTURES),
        help="trained as by default (token_pooler); static_prefix never sees a message",
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        help="YAML file of an architecture, objectives or a curriculum, and numbers of steps",
    )
    parser.add_argument("--k", type=int, default=4, help="number of latents")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Train, or go on where an interrupted training stopped, and write the checkpoint.

    A codec whose training was finished before is taken from the cache.
    """
    from lpca.base.arguments import parse_ks, parse_seed
    from lpca.base.files import cache_dir, try_writing
    from lpca.codec.checkpoint import save_checkpoint
    from lpca.codec.store import Request, obtain_codec
    from lpca.codec.training import Processes, Progress
    from lpca.gate.plan import task_of
    from lpca.gatespec.load import load_spec
    from lpca.receivers.data_parallel import load_among_processes
    from lpca.report.console import StderrConsole

    (k,) = parse_ks(str(arguments.k))
    parse_seed("--seed", arguments.seed)
    _refuse_to_overwrite(arguments.out)
    try_writing(arguments.out)
    recipe = _recipe(arguments)
    spec = load_spec(arguments.spec)
    task = task_of(spec)
    receiver = load_among_processes(arguments.receiver, **loading(arguments))
    receiver = receiver.prompted(spec.prompt)
    processes = Processes(receiver)
    request = Request(k, arguments.seed, shipped=False, recipe=recipe)
    with StderrConsole() as console:

        def report(progress: Progress) -> None:
            if processes.main:
                console.training(progress, recipe.steps, f"codec k={k}")

        def tell(text: str) -> None:
            if processes.main:
                console.tell(text)

        obtained = obtain_codec(receiver, task, request, cache_dir(), report, tell)
    if processes.main:
        kept = ("history", "trained")
        facts = {name: obtained.facts[name] for name in kept}
        save_checkpoint(arguments.out, obtained.codec, obtained.identity, facts)
        print(f"checkpoint written to {arguments.out}")
    processes.end()
    return ExitCode.PASS


def _recipe(arguments: argparse.Namespace) -> Recipe:
    from lpca.codec.recipe import load_recipe

    if arguments.recipe is None:
        return Recipe(arguments.architecture or TOKEN_POOLER)
    if arguments.architecture is not None:
        raise RequestError("--architecture and --recipe: both given; allowed: one of them")
    return load_recipe(arguments.recipe)


def _refuse_to_overwrite(folder: Path) -> None:
    """A checkpoint replaces what stands at its place: a checkpoint, or an empty folder."""
    from lpca.codec.checkpoint import MANIFEST, is_unwritten

    if folder.is_dir() and ((folder / MANIFEST).is_file() or is_unwritten(folder)):
        return
    if folder.exists() or folder.is_symlink():
        raise RequestError(
            f"--out {folder}: something else is there; allowed: a new or empty folder, or one that "
            "holds a checkpoint, which is replaced"
        )
