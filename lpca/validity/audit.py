"""What the checks see, and what they may ask the model once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from lpca.base.hashing import hash_data, named_rng
from lpca.codec.checkpoint import Identity, trained_episodes
from lpca.codec.user_codec import OwnCodec
from lpca.evaluation import evaluate
from lpca.evaluation.conditions import Setting, build_slots
from lpca.evaluation.outcome import Record
from lpca.gatespec.model import LATENT
from lpca.judge import OutcomeTable
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.receivers.observed_input import canonical_ids
from lpca.tasks import Episode, EpisodeSet, Task
from lpca.validity.ledger import Past

SAMPLE = 8
LOGIT_TOLERANCE = {torch.float32: 1e-3}
COARSE_TOLERANCE = 0.5
"""For bfloat16 and float16, in nats: their products are rounded to two or three digits."""


class Leak(Exception):  # noqa: N818 - a finding, not an error
    """What a check found; its text is shown."""


class Unknown(Exception):  # noqa: N818 - neither a finding nor an error
    """A check cannot tell; its text says why."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What the checks read.

    `table` is what the gate is judged from, `declared` the episodes' seeds as the task and the
    spec have them, `sizes` after how many of them it may end. `trained` is the training run of a
    codec of lpca's, `own` a codec of the user's, `numbers` what is reported of each condition.
    `passes(count)` tells whether the gate passes with its alpha divided by a count.
    """

    setting: Setting
    task: Task
    records: Mapping[str, Sequence[Record]]
    receiver_hash: str
    score: str = "likelihood"
    table: OutcomeTable | None = None
    declared: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    trained: Identity | None = None
    own: OwnCodec | None = None
    static_trained: Identity | None = None
    past: Past | None = None
    numbers: Mapping[str, Mapping[str, Any]] | None = None
    passes: Callable[[int], bool] = field(default=lambda _: False)

    @property
    def receiver(self) -> Receiver:
        """The receiver under test."""
        return self.setting.receiver

    @property
    def k(self) -> int:
        """The number of latents."""
        return self.setting.coded().k

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """All evaluated episodes."""
        return self.setting.episodes.episodes

    @property
    def is_exact(self) -> bool:
        """Whether the receiver computes in float32, where outcomes are the same every time."""
        return self.receiver.dtype in LOGIT_TOLERANCE

    @property
    def tolerance(self) -> float:
        """How far two computations of the same log-probability may lie apart, in nats."""
        return LOGIT_TOLERANCE.get(self.receiver.dtype, COARSE_TOLERANCE)

    @cached_property
    def training(self) -> list[Episode]:
        """The episodes the codec was trained on; none where that is not known."""
        return [] if self.trained is None else trained_episodes(self.trained, self.task)

    @cached_property
    def sample(self) -> list[int]:
        """Indices of a sample of episodes, in order."""
        return self.sample_for("all", SAMPLE)

    def sample_for(self, purpose: str, size: int) -> list[int]:
        """Indices of a sample of episodes of its own, in order.

        It follows from the outcomes, so that no forged one can stand where it is not looked at.
        """
        rng = named_rng("leaks", purpose, self._content)
        count = len(self.episodes)
        return sorted(rng.sample(range(count), min(size, count)))

    @cached_property
    def _content(self) -> str:
        return hash_data(
            {
                name: [[r.seed, r.named, _best(r.scores)] for r in records]
                for name, records in self.records.items()
            }
        )

    def slots(self, condition: str, rows: Sequence[int]) -> list[Slot]:
        """The slots of some episodes under a condition."""
        slots = build_slots(condition, self.setting)
        return [slots[i] for i in rows]

    def again(self, condition: str, rows: Sequence[int]) -> list[Record]:
        """Compute some episodes' records under a condition once more, as evaluation does."""
        return self.ask(condition, [self.episodes[i] for i in rows], self.slots(condition, rows))

    def ask(
        self, condition: str, episodes: Sequence[Episode], slots: Sequence[Slot]
    ) -> list[Record]:
        """Compute records of any episodes with any slots, as evaluation does."""
        job = evaluate.make_job(self.receiver, condition, episodes, slots)
        [(_, records)] = evaluate.run_block(self.receiver, [job], batch_size=len(episodes))
        return list(records)

    def with_episodes(self, episodes: Sequence[Episode]) -> Setting:
        """The setting with other episodes, each the donor of the one before it."""
        count = len(episodes)
        chosen = EpisodeSet(tuple(episodes), tuple((i + 1) % count for i in range(count)))
        return replace(self.setting, episodes=chosen)

    def injected(self) -> list[str]:
        """The evaluated conditions that inject k vectors."""
        return [condition for condition in LATENT if condition in self.records]

    def prompt(self, episode: Episode) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return p0's prompt of an episode, before and after the slot, as `Given` has ids."""
        receiver = self.receiver
        before = canonical_ids(receiver, receiver.prompt_start_ids(episode.before))
        return before, canonical_ids(receiver, receiver.segment_ids(episode.after))

    def outside(self, episode: Episode) -> tuple[str, ...]:
        """The texts B sees around the options list."""
        return self.task.outside(episode)


def _best(scores: Sequence[float]) -> int | None:
    return scores.index(max(scores)) if scores else None
