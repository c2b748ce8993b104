"""Losses by name, each entered by a module here; and the batch of episodes that they read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from lpca.base.registry import Registry
from lpca.channel.packets import Port
from lpca.receivers.caches import unflat
from lpca.receivers.forward import Context, Slot, in_slots, left_padded, read_context
from lpca.receivers.model import Receiver
from lpca.tasks import Episode

IGNORED = -100
"""The target of a position where no answer stands."""
OBJECTIVES: Registry[Callable[[Batch], Tensor]] = Registry("objective", __name__)
"""Each takes a `Batch` and returns one number with a gradient.

It is registered with what it `asks` for, and with `compares` where it compares the episodes of a
batch, so that one alone will not do; `lpca.codec.recipe` reads both without torch.
"""


class Batch:
    """Episodes and their prefixes [batch, k, d_model]; what is computed of them is computed once.

    Where an episode has several slots, their prefixes stand one behind the other.
    Gradients reach the prefixes and, through them, the codec; never the receiver. `seed` is that
    of what an objective draws at random. With a `port` of caches prefixes are [batch, k, numbers].
    """

    def __init__(
        self,
        receiver: Receiver,
        episodes: Sequence[Episode],
        prefixes: Tensor,
        seed: int = 0,
        port: Port | None = None,
    ) -> None:
        self.receiver, self.episodes = receiver, tuple(episodes)
        self.prefixes, self.seed, self.port = prefixes, seed, port
        self._kept: dict[Hashable, Any] = {}

    def once(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` gave when this name was first asked for."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    @cached_property
    def context(self) -> Context:
        """What stands before each slot, read without gradient."""
        starts = [self.receiver.prompt_start_ids(e.before) for e in self.episodes]
        return read_context(self.receiver, starts)

    @cached_property
    def answers(self) -> list[list[int]]:
        """The tokens of each right answer."""
        return [self.receiver.option_ids(e.right) for e in self.episodes]

    @cached_property
    def targets(self) -> Tensor:
        """The answers' tokens [batch, longest], at the right; `IGNORED` before them."""
        return left_padded(self.answers, IGNORED, self.receiver.device)[0]

    def logits(self, slots: Sequence[Slot]) -> Tensor:
        """Logits [batch, longest, vocabulary] from which `targets` are said, the answer given."""
        afters = [
            [*self.receiver.prompt_end_ids(e.after), *ids[:-1]]
            for e, ids in zip(self.episodes, self.answers, strict=True)
        ]
        return self.context.continuation_logits(slots, afters, self.targets.shape[1])

    def injected(self, prefixes: Tensor) -> Tensor:
        """The same with a prefix [batch, k, d_model] in each slot."""
        return self.logits(slots_with(self.receiver, self.episodes, prefixes, self.port))

    @cached_property
    def normal(self) -> Tensor:
        """Logits with each episode's own prefix."""
        return self.injected(self.prefixes)

    def token_nll(self, logits: Tensor) -> Tensor:
        """-log p of each target [batch, longest], in nats; 0 where none is."""
        flat = nn.functional.cross_entropy(
            logits.flatten(0, 1), self.targets.flatten(), reduction="none"
        )
        return flat.view(self.targets.shape)

    def nll(self, logits: Tensor) -> Tensor:
        """-log p of each right answer [batch], in nats per token."""
        return self.token_nll(logits).sum(1) / (self.targets != IGNORED).sum(1)


def slots_with(
    receiver: Receiver,
    episodes: Sequence[Episode],
    prefixes: Iterable[Tensor],
    port: Port | None = None,
) -> list[Slot]:
    """Return the slots of episodes that hold these vectors [k, d_model], or caches laid out so.

    Where an episode has several slots, its vectors are divided evenly among them.
    """
    return [
        in_slots(
            receiver,
            episode,
            [slot_with(receiver, own, port) for own in prefix.chunk(len(episode.by_slot))],
        )
        for episode, prefix in zip(episodes, prefixes, strict=True)
    ]


def slot_with(receiver: Receiver, prefix: Tensor, port: Port | None = None) -> Slot:
    """Return the slot that holds vectors [k, d_model], or a cache [k, numbers] of a port's layers.

    Gradients reach the prefix.
    """
    if port is None or port.kind != "cache":
        return Slot(vectors=prefix)
    return Slot(cache=unflat(receiver, prefix, port.layers))
