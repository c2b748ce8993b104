"""What B receives under each condition; one is added by a file of this package."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from lpca.base.registry import Registry, shown_names
from lpca.channel.packets import Packet
from lpca.codec.channel import Asked, Channel
from lpca.evaluation.block import BLOCK
from lpca.receivers.forward import Slot, in_slots
from lpca.receivers.model import Receiver
from lpca.tasks import EpisodeSet, TaskError

SlotMaker = Callable[["Setting"], "Sequence[Slot]"]
"""Makes the slots of a setting's episodes, in their order."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What slots are made from; a part is absent where no condition needs it.

    Attributes:
        receiver: the frozen model that plays B.
        channel: the codec under test at work.
        episodes: those whose slots are made.
        static: the trained prefix that ignores messages.
        training_messages: those over whose latents `mean` takes the mean and `shaped` the
            covariance, and in which `keywords_k` counts words.
        exchanged: by condition, what makes its slots in place of its own code, so that a fault
            can be planted in a run; empty in a sound run.
    """

    receiver: Receiver
    channel: Channel | None
    episodes: EpisodeSet
    static: Channel | None = None
    training_messages: tuple[Asked, ...] = ()
    exchanged: Mapping[str, SlotMaker] = field(default_factory=dict)

    @property
    def fixed(self) -> bool:
        """Whether the channel's packets all have k vectors; not known of one that is not here."""
        return self.channel is not None and self.channel.fixed

    @property
    def of_caches(self) -> bool:
        """Whether packets are keys and values."""
        return self.channel is not None and self.channel.port.kind == "cache"

    def coded(self) -> Channel:
        """The channel; ValueError without one."""
        if self.channel is None:
            raise ValueError("this condition needs a codec, and none was given")
        return self.channel


class Condition(ABC):
    """What stands in B's slot; where a prompt has several, in each of them, one after the other."""

    @abstractmethod
    def slots(self, setting: Setting) -> Sequence[Slot]:
        """Return the slot of each of a setting's episodes; raises as `build_slots`."""

    def encode(self, setting: Setting) -> None:  # noqa: B027 - most conditions encode nothing
        """Have the channel encode, and keep, all that the slots of these episodes will need."""

    def needs(self, setting: Setting) -> Sequence[Asked]:
        """Return the views that `encode` has the channel encode."""
        return ()


def slot_of(packet: Packet) -> Slot:
    """Return the slot that a packet stands in, as B gets it."""
    if packet.ids is not None:
        return Slot(ids=tuple(packet.ids.tolist()))
    return Slot(vectors=packet.vectors, cache=packet.cache)


def slots_of(packets: Sequence[Packet]) -> list[Slot]:
    """Return the slots of packets that are read together: an empty one takes the others' path."""
    slots = list(map(slot_of, packets))
    widths = {slot.vectors.shape[1] for slot in slots if slot.vectors is not None}
    if not widths:
        return slots
    nothing = Slot(vectors=torch.zeros(0, widths.pop()))
    return [slot if len(slot) else nothing for slot in slots]


CONDITIONS: Registry[Callable[[], Condition]] = Registry("condition", __name__)
"""By name, each registered by a module of this package; what may be said of one there:

numbers: its name ends in N, a number from 1 to this, with which it is made; `usual` are those
    that lists show. N in what else is said of it stands for the number.

holds: what stands in the slot: "nothing", "text" (tokens, or their embeddings) or "latents".
bytes: of the message's text no more stand there.
tokens: of the message's tokens no more stand there: "k", as many as the packet has positions.
codec: the latents follow from what the codec makes of a "message", as it is, or of its "norms" or
    the "mean" or "shape" of several.
donor: the message is that of the episode's donor.

It is read where conditions are named, without importing them (`lpca.gatespec.model`).
"""


def build_slots(condition: str, setting: Setting) -> Sequence[Slot]:
    """Return what stands in each episode's slot under a condition.

    Raises:
        ValueError: the condition is unknown, or the setting lacks what it needs.
        TaskError: the episodes lack what it needs.
        CodecError: the codec gives what no prefix can be.
    """
    if condition not in CONDITIONS:
        raise ValueError(
            f"unknown condition {condition!r}; allowed: {', '.join(shown_names(CONDITIONS))}"
        )
    if condition in setting.exchanged:
        return setting.exchanged[condition](setting)
    # a condition sees each slot as if it were the only one of its episode
    alone = CONDITIONS[condition]().slots(replace(setting, episodes=setting.episodes.by_slot))
    if len(alone) == len(setting.episodes):
        return alone
    if any(slot.cache for slot in alone):
        raise TaskError(
            f"{condition}: a packet is a cache, and prompts have several slots; allowed: one slot, "
            "or packets of vectors or ids"
        )
    packets = iter(alone)
    return [
        in_slots(setting.receiver, episode, [next(packets) for _ in episode.by_slot])
        for episode in setting.episodes
    ]


def slots_at(condition: str, setting: Setting, rows: Sequence[int]) -> list[Slot]:
    """The slots of some of a setting's episodes, by their places, as `build_slots` makes them.

    A block at a time, as evaluation does: the vectors of all episodes may not fit in memory.
    """
    found, n = dict[int, Slot](), len(setting.episodes)
    for start in sorted({row - row % BLOCK for row in rows}):
        own = range(start, min(start + BLOCK, n))
        part = replace(setting, episodes=setting.episodes.part(own.start, own.stop))
        slots = build_slots(condition, part)
        found |= {row: slots[row - start] for row in rows if row in own}
    return [found[row] for row in rows]


def encode_messages(conditions: Sequence[str], setting: Setting) -> None:
    """Encode, once, all the messages whose latents some conditions inject; the channel keeps them.

    Before any outcome is looked up or computed: then latents do not depend on how the episodes are
    divided into blocks, and what a user's codec does to the receiver while it encodes is done.

    Raises:
        ValueError, TaskError, CodecError: as for `build_slots`.
    """
    setting = replace(setting, episodes=setting.episodes.by_slot)
    made = [CONDITIONS[condition]() for condition in conditions]
    needed = [view for one in made for view in one.needs(setting)]
    if needed:
        setting.coded().expect(needed)
    for one in made:
        one.encode(setting)
