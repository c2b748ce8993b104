"""`lpca diagnose`: a checkpoint's prefix at several scales, on validation episodes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lpca.cli import UsageError
from lpca.exit_codes import ExitCode

SCALES = "0,0.25,0.5,0.75,1,1.25,1.5"
MOST_SCALES, LARGEST_SCALE = 50, 1000.0
MOST_EPISODES = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("checkpoint", type=Path, help="folder of a codec's checkpoint")
    parser.add_argument("--spec", default="gate_specs.yaml", help="names the task")
    parser.add_argument("--receiver", default="smollm2-135m", help="as for pytest gates/")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument(
        "--dtype", default="auto", choices=("auto", "float32", "bfloat16", "float16")
    )
    parser.add_argument("--scales", default=SCALES, help=f"factors of the prefix ({SCALES})")
    parser.add_argument("--n", type=int, default=100, help="number of validation episodes (100)")
    parser.add_argument("--answers", default="seen", choices=("seen", "unseen"))
    parser.add_argument("--batch-size", type=int, default=32, help="episodes at a time (32)")
    parser.add_argument("--out", type=Path, default=Path(".lpca/diagnose"), help="folder to fill")
    parser.add_argument("--format", default="svg", choices=("svg", "pdf", "png"))


def run(arguments: argparse.Namespace) -> ExitCode:
    """Measure, write numbers and picture, print the table."""
    from lpca.errors import RunError
    from lpca.files import write_file, write_json
    from lpca.report.figures import render, scales_figure
    from lpca.spec.load import SpecError

    scales = parse_scales(arguments.scales)
    for name, value, most in (
        ("--n", arguments.n, MOST_EPISODES),
        ("--batch-size", arguments.batch_size, MOST_EPISODES),
    ):
        if not 1 <= value <= most:
            raise UsageError(f"{name} {value}: out of range; allowed: 1 to {most}")
    try:
        sweep = _measured(arguments, scales)
        name = f"{sweep['checkpoint']}-scales"
        picture = render(scales_figure(sweep), arguments.format)
        numbers, drawn = (arguments.out / f"{name}.{kind}" for kind in ("json", arguments.format))
        write_json(numbers, sweep, indent=1)
        write_file(drawn, lambda part: part.write_bytes(picture))
    except (RunError, SpecError) as error:
        raise UsageError(error) from error
    print("\n".join([*_table(sweep), "", f"{numbers}", f"{drawn}"]))
    return ExitCode.PASS


def parse_scales(text: str) -> list[float]:
    """Read factors separated by commas, each once, in ascending order; UsageError otherwise."""
    try:
        scales = sorted({float(part) for part in text.split(",")})
    except ValueError:
        scales = []
    fit = all(0.0 <= scale <= LARGEST_SCALE for scale in scales)
    if not scales or not fit or len(scales) > MOST_SCALES:
        raise UsageError(
            f"--scales {text[:60]}: not a list of scales; allowed: at most {MOST_SCALES} numbers "
            f"from 0 to {LARGEST_SCALE:g}, as in {SCALES}"
        )
    return scales


def _measured(arguments: argparse.Namespace, scales: Sequence[float]) -> dict[str, Any]:
    from lpca.codec.channel import Channel
    from lpca.codec.checkpoint import read_identity
    from lpca.codec.store import Request, obtain_codec
    from lpca.diagnose import scale_sweep
    from lpca.errors import RequestError
    from lpca.files import cache_dir
    from lpca.receivers.load import load_receiver
    from lpca.report.console import StderrConsole
    from lpca.spec.load import load_spec
    from lpca.tasks import task_of

    console = StderrConsole()
    spec = load_spec(arguments.spec)
    task = task_of(spec)
    k = read_identity(arguments.checkpoint).k
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise RequestError(f"checkpoint {arguments.checkpoint}: its k is {k!r}; allowed: 1 or more")
    receiver = load_receiver(arguments.receiver, arguments.device, arguments.dtype)
    request = Request(k, checkpoint=arguments.checkpoint)
    obtained = obtain_codec(
        receiver, task, request, cache_dir(), lambda progress: None, console.tell
    )
    channel = Channel(receiver, obtained.codec, k)
    episodes = task.evaluation_set("validation", arguments.answers, arguments.n, spec.task.seed)
    return {
        **scale_sweep(
            channel,
            episodes,
            scales,
            spec.evaluation.confidence,
            arguments.batch_size,
            console.evaluating("scales"),
        ),
        "checkpoint": arguments.checkpoint.resolve().name,
        "codec": obtained.facts["weights_sha256"],
        "receiver": {
            "name": receiver.name,
            "device": receiver.device.type,
            "dtype": str(receiver.dtype).removeprefix("torch."),
        },
        "task": {"name": spec.task.name, "seed": spec.task.seed, **spec.task.settings},
        "split": "validation",
        "answers": arguments.answers,
        "episodes": episodes.hash(),
    }


def _table(sweep: Mapping[str, Any]) -> Iterator[str]:
    n = sweep["n"]
    yield (
        f"{sweep['checkpoint']}, k={sweep['k']}, receiver {sweep['receiver']['name']}: prefix "
        f"norm {sweep['norm_ratio']:.2f} of an embedding's"
    )
    yield f"{n} validation episodes, answers {sweep['answers']}"
    yield ""
    yield f"{'':<8}{'normal':>22}{'nats':>8}{'shuffle':>22}{'nats':>8}"
    for name, one in sweep["references"].items():
        yield f"{name:<8}{_cell(one, n)}"
    for one in sweep["scales"]:
        yield f"x {one['scale']:<6g}{_cell(one['normal'], n)}{_cell(one['shuffle'], n)}"
    yield ""
    yield "nats: -log p of the right answer. No verdict: a scale picked here looks better than it"
    yield "is. To gate it, declare best_of with a confirm_seed: fresh test episodes decide."


def _cell(one: Mapping[str, Any], n: int) -> str:
    low, high = one["interval"]
    return f"{one['successes'] / n:>7.1%}  [{low:.3f},{high:.3f}]{one['nll']:>8.2f}"
