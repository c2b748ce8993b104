"""Floating-point rate of evaluation and training, as a share of a plain matrix product's.

Run `python benchmarks/throughput.py [--receiver stub]`. Operations are those really needed: two
per weight of a matrix product and token, each shared context counted once, the output layer only
where logits are read. Attention's own products (under two percent at these lengths) and all
element-wise work are left out, so the share is a lower bound. All rates come from one run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from lpca.codec.channel import Channel
from lpca.codec.recipe import Recipe
from lpca.codec.token_pooler import TokenPooler
from lpca.codec.training import Training
from lpca.conditions import Setting, build_slots
from lpca.evaluate import make_job, run_block
from lpca.receivers.load import load_receiver
from lpca.receivers.model import Receiver
from lpca.records import Record
from lpca.tasks import Episode, Trip

CONDITIONS = ("p0", "p1", "embed", "normal", "null", "random", "shuffle")
EPISODES, REPEATS, K = 32, 3, 4


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--receiver", default="smollm2-135m")
    arguments.add_argument("--device", default="auto")
    arguments.add_argument("--dtype", default="auto")
    given = arguments.parse_args()
    receiver = load_receiver(given.receiver, given.device, given.dtype)
    product = matrix_product_rate(receiver)
    print(
        f"receiver {receiver.name}, {receiver.dtype}, {receiver.device}, "
        f"{torch.get_num_threads()} threads, medians of {REPEATS}"
    )
    print(f"matrix product     {product / 1e9:8.1f} GFLOP/s")
    for name, rate in (("evaluation", evaluation_rate), ("training", training_rate)):
        achieved, per_second, unit = rate(receiver)
        print(
            f"{name:<18} {achieved / 1e9:8.1f} GFLOP/s  {achieved / product:5.2f} of the product"
            f"  {per_second:7.2f} {unit}/s"
        )


def matrix_product_rate(receiver: Receiver, size: int = 2048) -> float:
    """Operations per second of a large square product at the receiver's dtype."""
    matrix = torch.randn(size, size).to(receiver.device, receiver.dtype)
    return 2 * size**3 / median_seconds(receiver, lambda: matrix @ matrix)


def evaluation_rate(receiver: Receiver) -> tuple[float, float, str]:
    """Operations per second, and outcomes per second, of all conditions on one batch."""
    episodes = Trip().evaluation_set("validation", "seen", EPISODES, seed=1)
    setting = Setting(receiver, Channel(receiver, TokenPooler(receiver, K), K), episodes)
    jobs = [
        make_job(receiver, condition, episodes.episodes, build_slots(condition, setting))
        for condition in CONDITIONS
    ]
    records = dict(run_block(receiver, jobs, EPISODES))
    tokens, reads = 0, 0
    for job, rows in records.items():
        for episode, record in zip(job.episodes, rows, strict=True):
            more, read = continuation(receiver, episode, record)
            tokens, reads = tokens + more, reads + read
    tokens += sum(len(receiver.prompt_start_ids(e.before)) for e in episodes)
    seconds = median_seconds(receiver, lambda: list(run_block(receiver, jobs, EPISODES)))
    operations = tokens * body_operations(receiver) + reads * head_operations(receiver)
    return operations / seconds, len(jobs) * EPISODES / seconds, "outcomes"


def continuation(receiver: Receiver, episode: Episode, record: Record) -> tuple[int, int]:
    """Tokens after the shared context, and positions whose logits are read."""
    slot = record.given.stop - record.given.start
    prompt = slot + len(receiver.segment_ids(episode.after))
    options = sum(len(receiver.option_ids(option)) - 1 for option in episode.options)
    generated = max(0, len(record.said_ids) - 1)
    return prompt + options + generated, 1 + options + generated


def training_rate(receiver: Receiver) -> tuple[float, float, str]:
    """Operations per second, and steps per second, of the codec's training.

    The frozen receiver needs two passes where gradients flow: forward, and back to the prefix.
    """
    training = Training(
        receiver, Trip(), partial(TokenPooler, receiver, K), 0, Recipe(validation_every=10**6)
    )
    batch = training.task.training_batch(0, training.recipe.batch_size, 0)
    seconds = median_seconds(receiver, training.advance)
    body, head = body_operations(receiver), head_operations(receiver)
    operations = sum(training_operations(receiver, episode, body, head) for episode in batch)
    return operations / seconds, 1 / seconds, "steps"


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


def median_seconds(receiver: Receiver, work: Callable[[], object]) -> float:
    """Median time of `work` after one call to warm up."""
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        if receiver.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
