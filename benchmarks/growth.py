"""How time and peak memory of `lpca.evaluation.evaluate` grow with episodes, latents and options.

On the stub receiver, seven conditions, nothing cached, a fresh process for each point. `seconds`
is evaluation alone, `processor` the time that its threads ran, which other processes disturb less;
`peak` the process's largest resident memory, `above start` what evaluation added to what imports,
the receiver and the episodes had taken. `exponent`, against the row above: log(ratio of processor
seconds) / log(ratio of values): 1 is linear. A task needs two options at least: with one B has no
choice to make, and 1 is refused.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from measured import Spread, parser, publish

EPISODES = (50, 100, 200, 500, 1_000, 2_000, 5_000)
LATENTS = (1, 4, 16, 64)
OPTIONS = (2, 4, 8)
AT = {"n": 200, "k": 4, "options": 4}
"""What the other two are while one varies."""
CONDITIONS = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")
MIB = 2**20


def main() -> None:
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("--largest", type=int, default=EPISODES[-1], help="of the episodes")
    arguments.add_argument("--child", help="measure one point, for this script itself")
    given = arguments.parse_args()
    if given.child:
        print(json.dumps(measure(**json.loads(given.child))))
        return
    sizes = [n for n in EPISODES if n <= given.largest]
    varied = {"n": sizes, "k": list(LATENTS), "options": list(OPTIONS)}
    rows = []
    for name, values in varied.items():
        # in rounds over all values, so that what slows a while does not bend the curve
        rounds = [[point({**AT, name: v}) for v in values] for _ in range(given.repeats)]
        found = [list(column) for column in zip(*rounds, strict=True)]
        rows += series(name, values, found)
    settings = {"receiver": "stub", "conditions": " ".join(CONDITIONS), **AT}
    publish("growth", rows, given.out, {**settings, "repeats": given.repeats})


def series(
    name: str, values: list[int], found: list[list[dict[str, float]]]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for at, (value, runs) in enumerate(zip(values, found, strict=True)):
        seconds, processor, peak, above = (
            Spread(tuple(run[key] for run in runs))
            for key in ("seconds", "processor", "peak", "above")
        )
        outcomes = len(CONDITIONS) * (value if name == "n" else AT["n"])
        row = {
            "varied": name,
            "value": value,
            "seconds": seconds,
            "processor, s": processor,
            "ms per outcome": 1000 * processor.median / outcomes,
            "exponent": "-",
            "peak, MiB": peak.median / MIB,
            "above start, MiB": above.median / MIB,
            "growth, KiB per episode": "-",
        }
        if at:
            before = {key: Spread(tuple(r[key] for r in found[at - 1])) for key in runs[0]}
            rise = math.log(processor.median / before["processor"].median)
            row["exponent"] = rise / math.log(value / values[at - 1])
            if name == "n":
                more = above.median - before["above"].median
                row["growth, KiB per episode"] = more / 1024 / (value - values[at - 1])
        rows.append(row)
    return rows


def point(setting: dict[str, int]) -> dict[str, float]:
    """One point, in a process of its own."""
    command = [sys.executable, __file__, "--child", json.dumps(setting)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return measured


def measure(n: int, k: int, options: int) -> dict[str, float]:
    from lpca.codec.architectures.token_pooler import TokenPooler
    from lpca.codec.channel import Channel
    from lpca.evaluation.conditions import Setting
    from lpca.evaluation.evaluate import evaluate
    from lpca.receivers.load import load_receiver
    from lpca.tasks.kinds.trip import Trip

    receiver = load_receiver("stub", "cpu", "float32")
    episodes = Trip(options).evaluation_set("validation", "seen", n, seed=1)
    channel = Channel(receiver, TokenPooler(receiver, k), k)
    setting = partial(Setting, receiver, channel)
    with tempfile.TemporaryDirectory() as folder:
        # what is loaded on first use is not counted to the episodes
        evaluate(setting(episodes.part(0, 8)), CONDITIONS, Path(folder) / "warm")
        start, started, ran = peak_bytes(), time.perf_counter(), time.process_time()
        evaluate(setting(episodes), CONDITIONS, Path(folder) / "cache")
        seconds, processor = time.perf_counter() - started, time.process_time() - ran
    peak = peak_bytes()
    return {"seconds": seconds, "processor": processor, "peak": peak, "above": peak - start}


def peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
