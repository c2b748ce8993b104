"""Floating-point rate of evaluation and training, as a share of a plain matrix product's.

Run `python benchmarks/throughput.py [--receiver stub]`. Operations are those really needed: two
per weight of a matrix product and token, each shared context counted once, the output layer only
where logits are read. Attention's own products (under two percent at these lengths) and all
element-wise work are left out, so the share is a lower bound. All rates come from one run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from measured import interleaved, publish, receiver_parser, waiting
from torch import Tensor

from lpca.codec.architectures.token_pooler import TokenPooler
from lpca.codec.channel import Channel
from lpca.codec.recipe import Recipe
from lpca.codec.training import Training
from lpca.evaluation.block import Job, make_job, run_block
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.outcome import Outcome
from lpca.receivers.forward import OptionTree
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.tasks import Episode
from lpca.tasks.kinds.trip import Trip

CONDITIONS = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")
EPISODES, BATCH, K = 100, 32, 4


@dataclass(frozen=True)
class Rate:
    """Operations really needed by one call of `work`, which makes `amount` of a unit."""

    work: Callable[[], object]
    operations: float
    amount: int
    unit: str
    columns: Mapping[str, float] = field(default_factory=dict)


def main() -> None:
    given = receiver_parser(__doc__, repeats=3, dtype="auto").parse_args()
    receiver = load_receiver(given.receiver, given.device, given.dtype)
    wait = waiting(str(receiver.device))
    rates = {"evaluation": evaluation_rate(receiver), "training": training_rate(receiver)}
    product, operations = matrix_product(receiver)
    works = {"product": product, **{name: rate.work for name, rate in rates.items()}}
    seconds = interleaved(works, given.repeats, wait=wait)
    limit = seconds["product"].rate(operations)
    rows = [
        {
            "of": name,
            "GFLOP/s": seconds[name].rate(rate.operations / 1e9),
            "of a matrix product": seconds[name].rate(rate.operations).per(limit),
            f"{rate.unit}/s": seconds[name].rate(rate.amount),
            **rate.columns,
        }
        for name, rate in rates.items()
    ]
    settings = {
        "receiver": receiver.name,
        "dtype": str(receiver.dtype),
        "k": K,
        "product GFLOP/s": round(limit.median / 1e9, 1),
    }
    publish("throughput", rows, given.out, settings, str(receiver.device))


def matrix_product(receiver: Receiver, size: int = 2048) -> tuple[Callable[[], object], float]:
    """Return large square products at the receiver's dtype, and their operations."""
    matrix = torch.randn(size, size).to(receiver.device, receiver.dtype)
    times = 8

    def work() -> None:
        for _ in range(times):
            matrix @ matrix

    return work, times * 2 * size**3


def evaluation_rate(receiver: Receiver) -> Rate:
    """All conditions on one block; `padding` is the share of positions computed in vain."""
    episodes = Trip().evaluation_set("validation", "seen", EPISODES, seed=1)
    setting = Setting(receiver, Channel(receiver, TokenPooler(receiver, K), K), episodes)
    jobs = [
        make_job(receiver, condition, episodes.episodes, build_slots(condition, setting))
        for condition in CONDITIONS
    ]
    records = dict(run_block(receiver, jobs, BATCH))
    computed = _computed(receiver, jobs)
    tokens = sum(len(receiver.prompt_start_ids(e.before)) for e in episodes)
    reads = 0
    for job, rows in records.items():
        for episode, record in zip(job.episodes, rows, strict=True):
            more, read = continuation(receiver, episode, record)
            tokens, reads = tokens + more, reads + read
    return Rate(
        work=lambda: list(run_block(receiver, jobs, BATCH)),
        operations=tokens * body_operations(receiver) + reads * head_operations(receiver),
        amount=len(jobs) * EPISODES,
        unit="outcomes",
        columns={"padding": 1 - tokens / computed},
    )


def _computed(receiver: Receiver, jobs: Sequence[Job]) -> int:
    """Positions that the model really computes for these jobs, padding among them."""
    count = 0

    def counting(_module: torch.nn.Module, _args: object, inputs: dict[str, Tensor]) -> None:
        nonlocal count
        rows = inputs.get("input_ids", inputs.get("inputs_embeds"))
        assert rows is not None
        count += rows.shape[0] * rows.shape[1]

    handle = receiver.model.register_forward_pre_hook(counting, with_kwargs=True)
    list(run_block(receiver, jobs, BATCH))
    handle.remove()
    return count


def continuation(receiver: Receiver, episode: Episode, record: Outcome) -> tuple[int, int]:
    """Tokens after the shared context, and positions whose logits are read.

    What B says beside its options is left out.
    """
    slot = record.given.stop - record.given.start
    prompt = slot + len(receiver.segment_ids(episode.after))
    nodes = len(OptionTree.of([receiver.option_ids(option) for option in episode.options]))
    return prompt + nodes, 1 + nodes


def training_rate(receiver: Receiver) -> Rate:
    """Steps of the codec's training.

    The frozen receiver needs two passes where gradients flow: forward, and back to the prefix.
    """
    training = Training(
        receiver, Trip(), partial(TokenPooler, receiver, K), 0, Recipe(validation_every=10**6)
    )
    batch = training.task.training_batch(0, training.recipe.batch_size, 0)
    body, head = body_operations(receiver), head_operations(receiver)
    operations = sum(training_operations(receiver, episode, body, head) for episode in batch)
    return Rate(training.advance, operations, 1, "steps")


def training_operations(receiver: Receiver, episode: Episode, body: float, head: float) -> float:
    """Operations for one episode; the encoder's own small matrices are left out."""
    before = len(receiver.prompt_start_ids(episode.before))
    answer = len(receiver.option_ids(episode.right))
    suffix = K + len(receiver.segment_ids(episode.after)) + answer - 1
    message = len(receiver.message_ids(episode.message))
    encoded = message * TokenPooler(receiver, K).layer / receiver.layers
    return (before + encoded + 2 * suffix) * body + 2 * answer * head


def body_operations(receiver: Receiver) -> float:
    """Operations per token in the layers' matrix products."""
    weights: Sequence[torch.nn.Parameter] = [
        parameter
        for name, parameter in receiver.model.named_parameters()
        if parameter.dim() == 2 and "embed" not in name and "lm_head" not in name
    ]
    return 2.0 * sum(weight.numel() for weight in weights)


def head_operations(receiver: Receiver) -> float:
    """Operations per position whose logits are read."""
    return 2.0 * receiver.embedding.weight.numel()


if __name__ == "__main__":
    main()
