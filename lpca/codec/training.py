"""Train a codec through the frozen receiver: fresh messages, loss on the answer's tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lpca.codec.base import TrainableCodec
from lpca.receivers.model import Receiver
from lpca.receivers.reading import Slot, read_context
from lpca.tasks import Episode, Task


@dataclass(frozen=True)
class TrainConfig:
    """How a codec is trained; the learning rate warms up, then falls as a cosine to zero."""

    steps: int = 120
    batch_size: int = 24
    learning_rate: float = 1e-3
    warmup_steps: int = 5
    validation_every: int = 10


@dataclass(frozen=True)
class Progress:
    """One step's record: losses are mean negative log-likelihoods of answer tokens, in nats.

    `gap` is that of a shuffled message minus that of the right one, on validation episodes; it
    is None on steps that did not measure it.
    """

    step: int
    loss: float
    gap: float | None


class Training:
    """The state of one training run; `advance` takes a step. Same seed, same steps, same codec.

    `make` builds the untrained codec, whatever it draws at random seeded.
    """

    def __init__(
        self,
        receiver: Receiver,
        task: Task,
        make: Callable[[], TrainableCodec],
        seed: int,
        config: TrainConfig,
    ) -> None:
        self.receiver, self.task, self.seed, self.config = receiver, task, seed, config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.codec = make()
        self.optimiser = torch.optim.AdamW(self.codec.parameters(), lr=config.learning_rate)
        self.history: list[Progress] = []
        validation = task.evaluation_set("validation", "seen", config.batch_size, seed)
        self._validation = list(validation)
        self._donors = [validation.donor(i) for i in range(len(validation))]

    def run(self, report: Callable[[Progress], None]) -> None:
        """Advance to the last step, reporting each."""
        while len(self.history) < self.config.steps:
            report(self.advance())

    def advance(self) -> Progress:
        """Take one optimiser step on fresh episodes."""
        step, config = len(self.history), self.config
        for group in self.optimiser.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config)
        episodes = self.task.training_batch(step, config.batch_size, self.seed)
        self.codec.train()
        loss = self._loss(episodes, episodes)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimiser.step()
        measured = (step + 1) % config.validation_every == 0 or step + 1 == config.steps
        progress = Progress(step + 1, float(loss.detach()), self.gap() if measured else None)
        self.history.append(progress)
        return progress

    @torch.no_grad()
    def gap(self) -> float:
        """Return how much worse the answer fares with another episode's message, in nats."""
        self.codec.eval()
        right = self._loss(self._validation, self._validation)
        return float(self._loss(self._validation, self._donors) - right)

    def _loss(self, episodes: Sequence[Episode], senders: Sequence[Episode]) -> Tensor:
        prefixes = self.codec.decode(self.codec.encode([e.message for e in senders]))
        return answer_loss(self.receiver, episodes, prefixes)


def answer_loss(receiver: Receiver, episodes: Sequence[Episode], prefixes: Tensor) -> Tensor:
    """Cross-entropy over the whole vocabulary of the right answers' tokens, in nats per token.

    Args:
        receiver: the frozen model.
        episodes: the batch; what stands before the slot is read without gradient.
        prefixes: [batch, k, d_model], injected into the slots.
    """
    context = read_context(receiver, [receiver.prompt_start_ids(e.before) for e in episodes])
    answers = [receiver.option_ids(e.right) for e in episodes]
    afters = [
        [*receiver.segment_ids(e.after), *ids[:-1]]
        for e, ids in zip(episodes, answers, strict=True)
    ]
    slots = [Slot(vectors=prefix) for prefix in prefixes]
    keep = max(map(len, answers))
    logits = context.continuation_logits(slots, afters, keep)
    targets = torch.full((len(answers), keep), -100)
    for i, ids in enumerate(answers):
        targets[i, keep - len(ids) :] = torch.tensor(ids)
    return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten().to(logits.device))


def _schedule(step: int, config: TrainConfig) -> float:
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))
