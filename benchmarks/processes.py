"""How much faster several processes train one codec than one does, each with so many threads.

Each is `lpca train` for a few steps; seconds are those of the steps, as the checkpoint's manifest
has them. Whether all came to the same codec, bit for bit, is shown beside.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from measured import ENVIRONMENT, Spread, publish, receiver_parser

from lpca.codec.checkpoint import read_manifest

LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def main() -> None:
    arguments = receiver_parser(__doc__, repeats=3, dtype="float32")
    arguments.add_argument("--counts", type=int, nargs="+", default=[1, 2], metavar="N")
    arguments.add_argument("--threads", type=int, default=1, metavar="N", help="of each process")
    arguments.add_argument("--steps", type=int, default=10, metavar="N")
    given = arguments.parse_args()
    seconds: dict[int, list[float]] = {count: [] for count in given.counts}
    codecs: dict[int, set[str]] = {count: set() for count in given.counts}
    common = [f"--receiver={given.receiver}", f"--device={given.device}", f"--dtype={given.dtype}"]
    for _ in range(given.repeats):
        for count in given.counts:
            with tempfile.TemporaryDirectory() as folder:
                taken, codec = train(Path(folder), common, count, given.threads, given.steps)
            seconds[count].append(taken)
            codecs[count].add(codec)
    spreads = {count: Spread(tuple(values)) for count, values in seconds.items()}
    first = given.counts[0]
    rows = [
        {
            "processes": count,
            "seconds a step": spread.times(1 / given.steps),
            f"times as fast as {first}": spreads[first].per(spread),
            f"the codec of {first}": str(codecs[count] == codecs[first]),
        }
        for count, spread in spreads.items()
    ]
    names = ("receiver", "device", "dtype", "threads", "steps", "repeats")
    settings = {name: getattr(given, name) for name in names}
    publish("processes", rows, given.out, settings)


def train(
    folder: Path, common: list[str], count: int, threads: int, steps: int
) -> tuple[float, str]:
    """Seconds of the steps, and the hash of the codec that came of them."""
    (folder / "recipe.yaml").write_text(f"steps: {steps}\n")
    command = [*LAUNCH, str(count), "-m", "lpca", "train", *common, "--k", "4"]
    files = ["--recipe", str(folder / "recipe.yaml"), "--out", str(folder / "codec")]
    environment = {**ENVIRONMENT, "OMP_NUM_THREADS": str(threads)}
    subprocess.run([sys.executable, *command, *files], env=environment, check=True)
    manifest = read_manifest(folder / "codec")
    return manifest["trained"]["seconds"], manifest["weights_sha256"]


if __name__ == "__main__":
    main()
