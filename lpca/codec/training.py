"""Train a codec through the frozen receiver: fresh messages, a weighted sum of objectives.

Several processes may train one together: the main one decides and writes, all compute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from lpca.base.errors import RunError
from lpca.base.files import locked
from lpca.base.hashing import named_seed
from lpca.codec.base import TrainableCodec, seeded
from lpca.codec.objectives import OBJECTIVES, Batch
from lpca.codec.objectives.answer import cross_entropy
from lpca.codec.recipe import Recipe
from lpca.receivers.data_parallel import DataParallelReceiver
from lpca.receivers.model import Receiver
from lpca.tasks import Episode, Task


class Processes:
    """Those among which a receiver is divided; one, where it is not."""

    def __init__(self, receiver: Receiver) -> None:
        self._state = receiver.state if isinstance(receiver, DataParallelReceiver) else None

    @property
    def count(self) -> int:
        """How many there are."""
        return 1 if self._state is None else int(self._state.num_processes)

    @property
    def main(self) -> bool:
        """Whether this is the one that writes, and tells how far it is."""
        return self._state is None or bool(self._state.is_main_process)

    @contextmanager
    def locked(self, path: Path, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the lock named after `path`, one for all of them; nobody goes on before."""
        with locked(path, waiting) if self.main else nullcontext():
            self.wait()
            yield

    def wait(self) -> None:
        """Go on when all of them have come so far."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def end(self) -> None:
        """Part, when all of them have come so far."""
        if self._state is not None:
            self.wait()
            self._state.destroy_process_group()

    def agree_on(self, step: int) -> None:
        """Make sure that all of them go on from the same step; RunError where they would not."""
        if self._state is None:
            return
        from accelerate.utils import gather

        steps = gather(torch.tensor([step], device=self._state.device)).tolist()
        if len(set(steps)) > 1:
            raise RunError(f"the processes would go on from different steps: {steps}; run it again")

    def align(self, module: nn.Module) -> None:
        """Take the main process's weights and buffers, lest rounding lead them apart."""
        if self._state is not None:
            from accelerate.utils import broadcast

            broadcast(list(module.state_dict().values()))


@dataclass(frozen=True)
class Progress:
    """One step's record.

    `loss` is what was minimised, `objectives` has each part's own value, without its weight. `gap`
    is the answer's cross-entropy with a shuffled message minus that with the right one, in nats per
    token on validation episodes, and `measures` is what the codec tells of itself there; both
    stand only at the steps that measure them.
    """

    step: int
    loss: float
    gap: float | None
    objectives: Mapping[str, float] = field(default_factory=dict)
    measures: Mapping[str, float] = field(default_factory=dict)


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
        recipe: Recipe,
    ) -> None:
        self.receiver, self.task, self.seed, self.recipe = receiver, task, seed, recipe
        with seeded(seed):
            self.codec = make()
        self.optimiser = torch.optim.AdamW(self.codec.parameters(), lr=recipe.learning_rate)
        self.history: list[Progress] = []
        validation = task.evaluation_set("validation", "seen", recipe.batch_size, seed)
        self._validation = list(validation)
        self._donors = [validation.donor(i) for i in range(len(validation))]

    def run(self, report: Callable[[Progress], None]) -> None:
        """Advance to the last step, reporting each."""
        while len(self.history) < self.recipe.steps:
            report(self.advance())

    def advance(self) -> Progress:
        """Take one optimiser step on fresh episodes."""
        step, recipe = len(self.history), self.recipe
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        episodes = self.task.training_batch(step, recipe.batch_size, self.seed)
        self.codec.train()
        # by its own step, so that a training that goes on from a snapshot draws the same
        with seeded(named_seed("step", self.seed, step)):
            loss, parts = self._loss(episodes, step)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimiser.step()
        measured = (step + 1) % recipe.validation_every == 0 or step + 1 == recipe.steps
        progress = Progress(
            step=step + 1,
            loss=float(loss.detach()),
            gap=self.gap() if measured else None,
            objectives=parts,
            measures=self.codec.measures() if measured else {},
        )
        self.history.append(progress)
        return progress

    @torch.no_grad()
    def gap(self) -> float:
        """Return how much worse the answer fares with another episode's message, in nats."""
        self.codec.eval()
        shuffled = self._prefixes(self._donors)
        own = self._prefixes(self._validation)
        batch = Batch(self.receiver, self._validation, own, port=self.codec.port)
        right = cross_entropy(batch, batch.normal)
        return float(cross_entropy(batch, batch.injected(shuffled)) - right)

    def _loss(self, episodes: Sequence[Episode], step: int) -> tuple[Tensor, dict[str, float]]:
        draws = named_seed("draws", self.seed, step)
        own = self._prefixes(episodes)
        batch = Batch(self.receiver, episodes, own, draws, self.codec.port)
        weights = self.recipe.stage_at(step).objective
        parts = {name: OBJECTIVES[name](batch) for name, weight in weights.items() if weight}
        loss = torch.stack([weights[name] * value for name, value in parts.items()]).sum()
        auxiliary = self.codec.auxiliary_loss()
        if auxiliary is not None:
            loss, parts["auxiliary"] = loss + auxiliary, auxiliary
        return loss, {name: float(value.detach()) for name, value in parts.items()}

    def _prefixes(self, senders: Sequence[Episode]) -> Tensor:
        """Prefixes [episodes, k, d_model]; of several slots one behind the other."""
        texts = [own.message for e in senders for own in e.by_slot]
        prefixes = self.codec.decode(self.codec.encode(texts))
        if len(texts) == len(senders):
            return prefixes
        return prefixes.reshape(len(senders), -1, prefixes.shape[-1])


def _schedule(step: int, recipe: Recipe) -> float:
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))
