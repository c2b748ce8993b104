"""What Gate 1 costs on larger receivers, by arithmetic, and the same arithmetic against a real run.

Run `python benchmarks/cost.py --rate 300e12`, the rate being floating-point operations per second
that `throughput.py` found (or a share of what a GPU's maker promises). With `--evidence FILE` it
predicts that run's evaluation at the rate and says how far off it is.

Two operations per weight and position: positions are counted on the default task with the default
receiver's tokenizer; weights are those of the layers, and of the output layer where it is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measured import parser, publish

from lpca.codec.recipe import Recipe
from lpca.evidence.files import read_evidence
from lpca.receivers.forward import OptionTree
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip

CONDITIONS = ("p0", "p1", "embed", "normal", "null", "random", "shuffle", "static")
TEXTS, NOTHING = ("p1", "embed"), ("p0",)
ENCODED = 0.4
"""Share of the receiver's layers that the default codec reads a message through (12 of 30)."""


@dataclass(frozen=True)
class Size:
    """Weights in the layers' matrix products, and in the output layer."""

    name: str
    body: float
    head: float


SIZES = (
    Size("SmolLM2-135M", 106.2e6, 28.3e6),
    Size("Qwen2.5-3B", 2.77e9, 0.311e9),
    Size("Llama-3.1-8B", 6.98e9, 0.525e9),
    Size("Llama-3.1-70B", 68.5e9, 1.05e9),
)
"""From the models' published configurations."""


def main() -> None:
    arguments = parser(__doc__, repeats=1)
    arguments.add_argument("--rate", type=float, required=True, help="operations per second")
    arguments.add_argument("--evidence", type=Path, help="a run's evidence, to check against")
    arguments.add_argument("--k", type=int, default=4)
    given = arguments.parse_args()
    receiver = load_receiver("smollm2-135m", "cpu")
    episodes = Trip().evaluation_set("validation", "seen", 100, seed=1)
    rows: list[Mapping[str, Any]] = []
    for size in SIZES:
        for n in (200, 500):
            evaluated = n * evaluation(receiver, episodes.episodes, CONDITIONS, given.k, size)
            trained = training(receiver, episodes.episodes, given.k, size)
            rows.append(
                {
                    "receiver": size.name,
                    "n": n,
                    "evaluation, operations": evaluated,
                    "training, operations": trained,
                    "hours": (evaluated + trained) / given.rate / 3600,
                    "weights in bfloat16, GB": 2 * (size.body + size.head) / 1e9,
                }
            )
    if given.evidence:
        rows.append(_check(given.evidence, receiver, episodes.episodes, given.rate))
    publish("cost", rows, given.out, {"rate": given.rate, "k": given.k})


def evaluation(
    receiver: Receiver, episodes: Sequence[Episode], conditions: Sequence[str], k: int, size: Size
) -> float:
    """Operations of one episode, on average."""
    positions = reads = 0
    for episode in episodes:
        message = len(receiver.message_ids(episode.message))
        nodes = len(OptionTree.of([receiver.option_ids(option) for option in episode.options]))
        positions += len(receiver.prompt_start_ids(episode.before))
        for condition in conditions:
            slot = 0 if condition in NOTHING else message if condition in TEXTS else k
            positions += slot + len(receiver.segment_ids(episode.after)) + nodes
            reads += 1 + nodes
    return 2 * (positions * size.body + reads * size.head) / len(episodes)


def training(receiver: Receiver, episodes: Sequence[Episode], k: int, size: Size) -> float:
    """Operations of the default recipe; where gradients flow, the layers work twice."""
    recipe, total = Recipe(), 0.0
    for episode in episodes:
        answer = len(receiver.option_ids(episode.right))
        once = len(receiver.prompt_start_ids(episode.before))
        once += ENCODED * len(receiver.message_ids(episode.message))
        twice = k + len(receiver.segment_ids(episode.after)) + answer - 1
        total += 2 * (once + 2 * twice) * size.body + 4 * answer * size.head
    return total / len(episodes) * recipe.steps * recipe.batch_size


def _check(
    file: Path, receiver: Receiver, episodes: Sequence[Episode], rate: float
) -> Mapping[str, Any]:
    evidence = read_evidence(file)
    conditions = list(evidence.conditions)
    n = evidence.conditions[conditions[0]].n
    operations = n * evaluation(receiver, episodes, conditions, evidence.k, SIZES[0])
    measured = evidence.seconds["evaluate"]
    return {
        "measured": file.name,
        "n": n,
        "conditions": len(conditions),
        "predicted, s": operations / rate,
        "took, s": measured,
        "took / predicted": measured * rate / operations,
    }


if __name__ == "__main__":
    main()
