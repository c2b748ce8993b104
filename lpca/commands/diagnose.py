"""`lpca diagnose`: what to look at inside a checkpoint's codec, on validation episodes."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpca.base.arguments import MAX_K, RECEIVER, add_walled, check_walled, loading, walled
from lpca.base.errors import ExitCode, RequestError
from lpca.commands.cli import add_receiver_arguments, require_between

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lpca.diagnose.whole import Diagnosed
    from lpca.report.console import StderrConsole

SCALES = "0,0.25,0.5,0.75,1,1.25,1.5"
MOST_SCALES, LARGEST_SCALE = 50, 1000.0
MOST = {**dict.fromkeys(("n", "probe_n", "oracle_n"), 10_000), "oracle_steps": 100_000}
MOST |= {"batch_size": 10_000}
FORMAT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "checkpoint", nargs="?", help="a codec's checkpoint: a folder, or org/name@revision"
    )
    parser.add_argument(
        "--codec", metavar="MODULE:FACTORY", help="a codec of your own in its place"
    )
    add_walled(parser.add_argument)
    parser.add_argument("--k", type=int, default=4, help="number of latents, of your own codec (4)")
    parser.add_argument("--spec", default="gate_specs.yaml", help="names the task")
    add_receiver_arguments(parser, RECEIVER)
    parser.add_argument("--scales", default=SCALES, help=f"factors of the prefix ({SCALES})")
    parser.add_argument("--n", type=int, default=100, help="number of validation episodes (100)")
    parser.add_argument(
        "--probe-n", type=int, default=400, help="messages that the probe reads (400)"
    )
    parser.add_argument("--answers", default="seen", choices=("seen", "unseen"))
    parser.add_argument(
        "--oracle", action="store_true", help="optimise k vectors per episode, without an encoder"
    )
    parser.add_argument("--oracle-steps", type=int, default=100, help="of that search (100)")
    parser.add_argument("--oracle-n", type=int, default=40, help="episodes of that search (40)")
    parser.add_argument("--batch-size", type=int, default=32, help="episodes at a time (32)")
    parser.add_argument("--out", type=Path, default=Path(".lpca/diagnose"), help="folder to fill")
    parser.add_argument("--format", default="svg", choices=("svg", "pdf", "png"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Measure, write numbers, pictures and summary, print the summary."""
    from lpca.report.console import StderrConsole

    scales = parse_scales(arguments.scales)
    if (arguments.checkpoint is None) == (arguments.codec is None):
        raise RequestError("lpca diagnose: allowed: either CHECKPOINT or --codec MODULE:FACTORY")
    check_walled(arguments)
    require_between("--k", arguments.k, MAX_K)
    for name, most in MOST.items():
        require_between(f"--{name.replace('_', '-')}", getattr(arguments, name), most)
    with StderrConsole() as console, ExitStack() as ends:
        text = _diagnosed(arguments, scales, console, ends)
    print("\n".join(text))
    return ExitCode.PASS


def parse_scales(text: str) -> list[float]:
    """Read factors separated by commas, each once, in ascending order; RequestError otherwise."""
    try:
        scales = sorted({float(part) for part in text.split(",")})
    except ValueError:
        scales = []
    fit = all(0.0 <= scale <= LARGEST_SCALE for scale in scales)
    if not scales or not fit or len(scales) > MOST_SCALES:
        raise RequestError(
            f"--scales {text[:60]}: not a list of scales; allowed: at most {MOST_SCALES} numbers "
            f"from 0 to {LARGEST_SCALE:g}, as in {SCALES}"
        )
    return scales


def _diagnosed(
    arguments: argparse.Namespace, scales: Sequence[float], console: StderrConsole, ends: ExitStack
) -> list[str]:
    from lpca.base.files import write_bytes, write_json, write_text
    from lpca.diagnose.sentences import summary, sweep_table
    from lpca.diagnose.sweeps import scale_sweep
    from lpca.diagnose.whole import diagnose
    from lpca.report.figures.diagnosis import scales_figure
    from lpca.report.figures.style import render

    subject, about = _subject(arguments, console, ends)
    episodes = subject.episodes
    swept = scale_sweep(
        subject.channel,
        episodes,
        scales,
        confidence=subject.confidence,
        batch_size=arguments.batch_size,
        report=console.evaluating("scales"),
        outcomes=subject.outcomes,
    )
    sweep = {**swept, **about, "episodes": episodes.hash()}
    parts = diagnose(subject, sweep, console.evaluating, console.tell)
    found = {"format": FORMAT, **about, **parts}
    name = sweep["checkpoint"]
    folder, kind = arguments.out / name, arguments.format
    written = [arguments.out / f"{name}-scales.json", arguments.out / f"{name}-scales.{kind}"]
    write_json(written[0], sweep, indent=1)
    figures: dict[Path, Figure] = {written[1]: scales_figure(sweep)}
    figures |= {folder / f"{one}.{kind}": drawn for one, drawn in _figures(found, sweep)}
    for path, figure in figures.items():
        write_bytes(path, render(figure, kind))
    text = [*summary(found), "", *sweep_table(sweep)]
    write_text(folder / "summary.txt", "\n".join(text) + "\n")
    last = folder / "diagnose.json"
    write_json(last, {**found, "sweep": sweep}, indent=1)
    paths = [*figures, folder / "summary.txt", written[0], last]
    return [*text, "", *map(str, paths)]


def _subject(
    arguments: argparse.Namespace, console: StderrConsole, ends: ExitStack
) -> tuple[Diagnosed, dict[str, Any]]:
    from lpca.base.files import cache_dir
    from lpca.channel.side import Wall
    from lpca.codec.channel import Channel
    from lpca.codec.checkpoint import read_identity
    from lpca.codec.hub import checkpoint_folder
    from lpca.codec.store import Request, obtain_codec
    from lpca.codec.user_codec import codec_named, obtain_own
    from lpca.diagnose.episodes import Outcomes
    from lpca.diagnose.whole import Diagnosed
    from lpca.gate.plan import files_of, task_of
    from lpca.gatespec.load import load_spec
    from lpca.receivers.load import load_receiver
    from lpca.receivers.self_test import prove_for

    spec = load_spec(arguments.spec)
    task = task_of(spec)
    source = None
    if arguments.codec is not None:
        k = arguments.k
        source = codec_named(arguments.codec, (Path.cwd(), Path(arguments.spec).resolve().parent))
    else:
        arguments.checkpoint = checkpoint_folder(arguments.checkpoint)
        k = read_identity(arguments.checkpoint).k
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise RequestError(f"checkpoint {arguments.checkpoint}: its k is {k!r}; allowed: 1 or more")
    receiver = load_receiver(arguments.receiver, **loading(arguments))
    receiver = receiver.prompted(spec.prompt)
    if source is not None:
        wall = Wall((*files_of(spec), cache_dir().absolute()), **walled(arguments))
        own = obtain_own(source, receiver, k, None if arguments.in_process else wall)
        ends.callback(own.close)
        codec, name, content = own.codec, own.name, own.content_hash
    else:
        request, cache = Request(k, checkpoint=arguments.checkpoint), cache_dir()
        obtained = obtain_codec(receiver, task, request, cache, lambda progress: None, console.tell)
        codec, name = obtained.codec, arguments.checkpoint.resolve().name
        content = obtained.content_hash
    subject = Diagnosed(
        channel=Channel(receiver, codec, k),
        task=task,
        answers=arguments.answers,
        seed=spec.task.seed,
        n=arguments.n,
        probed=arguments.probe_n,
        confidence=spec.evaluation.confidence,
        outcomes=Outcomes(receiver, arguments.batch_size),
        oracle=(arguments.oracle_n, arguments.oracle_steps) if arguments.oracle else None,
    )
    read = [*subject.episodes, *subject.drawn(subject.probed), *subject.drawn(subject.n, 1)]
    prove_for(receiver, read, k, console.tell)
    about = {
        "checkpoint": re.sub(r"[^A-Za-z0-9._-]+", "-", name),
        "k": k,
        "codec": content,
        "receiver": receiver.facts,
        "task": {"name": spec.task.name, "seed": spec.task.seed, **spec.task.settings},
        "split": "validation",
        "answers": arguments.answers,
        "confidence": spec.evaluation.confidence,
    }
    return subject, about


def _figures(found: Mapping[str, Any], sweep: Mapping[str, Any]) -> Iterator[tuple[str, Figure]]:
    from lpca.evidence.json_form import from_data
    from lpca.evidence.model import Similarity
    from lpca.report.figures.diagnosis import noise_figure, reversals_figure, similarity_figure

    name, parts = f"{sweep['checkpoint']}, k = {sweep['k']}", found["parts"]
    title = f"{name}: {sweep['n']} validation episodes, no verdict"
    if "similarity" in parts:
        compared = from_data(Similarity, parts["similarity"])
        yield "similarity", similarity_figure(compared, name, found["split"])
    if "episodes" in parts:
        yield "reversals", reversals_figure(parts["episodes"], title)
    if "noise" in parts:
        yield "noise", noise_figure(parts["noise"], title)
