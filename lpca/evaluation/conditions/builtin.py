"""The conditions that gates know: text, latents, and their controls."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from lpca.base.hashing import named_seed
from lpca.channel.packets import Packet, View
from lpca.codec.base import CodecError
from lpca.codec.channel import Asked, Channel, view_of
from lpca.codec.ends import EMPTY
from lpca.evaluation.conditions import CONDITIONS, Condition, Setting, slots_of
from lpca.receivers.forward import Slot, own_caches
from lpca.tasks import Episode, EpisodeSet, TaskError, ToldEpisode

AT_ONCE = 32
"""Of so many messages keys and values are computed at once."""


class Text(Condition):
    """Each episode's slot holds a text, as tokens."""

    @abstractmethod
    def text(self, episode: Episode) -> str:
        """Return what stands in an episode's slot."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of token ids."""
        texts = map(self.text, setting.episodes)
        return [Slot(ids=tuple(setting.receiver.message_ids(text))) for text in texts]


class MessageLatents(Condition):
    """Each episode's slot holds what the channel makes of one message."""

    @abstractmethod
    def views(self, episodes: EpisodeSet) -> list[View]:
        """Return what A may read for each episode's slot."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of packets."""
        return slots_of(setting.coded().packets(self.views(setting.episodes)))

    def needs(self, setting: Setting) -> Sequence[View]:
        """Return what A may read for each episode's slot."""
        return self.views(setting.episodes)

    def encode(self, setting: Setting) -> None:
        """Have it all sent and received."""
        setting.coded().prepare(self.needs(setting))


@CONDITIONS.register("p0", holds="nothing")
class Nothing(Condition):
    """No message: what guessing gives."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return empty slots."""
        return [Slot() for _ in setting.episodes]


@CONDITIONS.register("p1", holds="text")
class Message(Text):
    """The message as text: what it is worth."""

    def text(self, episode: Episode) -> str:
        """Return the message."""
        return episode.message


@CONDITIONS.register("p2_N", holds="text", bytes="N", numbers=4096, usual=(16, 64, 256))
class Beginning(Text):
    """The message's first bytes: what so many bits of text are worth."""

    def __init__(self, size: int) -> None:
        self.size = size

    def text(self, episode: Episode) -> str:
        """Return as many characters as `size` bytes hold whole."""
        return beginning(episode.message, self.size)


@CONDITIONS.register("p5", holds="text")
class Facts(Text):
    """The message's facts as fields: what structure is worth."""

    def text(self, episode: Episode) -> str:
        """Return `name: value` pairs."""
        return structured(episode)


@CONDITIONS.register("embed", holds="text")
class Embedded(Condition):
    """The message's own token embeddings, injected: must equal `p1`.

    Of a channel of caches, the keys and values of all layers that B computes of the message in its
    place; of the port's layers alone they would be less than the text.
    """

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of embeddings, or of caches."""
        if setting.of_caches:
            starts = [setting.receiver.prompt_start_ids(one.before) for one in setting.episodes]
            return [Slot(cache=cache) for cache in _own_caches(setting, starts)]
        texts = Message().slots(setting)
        return [Slot(vectors=setting.receiver.embed(text.ids)) for text in texts]


@CONDITIONS.register("alone", holds="text")
class Alone(Condition):
    """The message's keys and values, computed without B's prompt: what caches do untrained.

    Of the layers that the channel's port tells. What `embed` has more is what B's prompt adds.
    """

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of caches; CodecError for a channel of anything else."""
        channel = setting.coded()
        if not setting.of_caches:
            raise CodecError(
                f"condition alone: the channel's packets are of {channel.port.kind}; allowed: a "
                "channel whose port is of cache"
            )
        layers = channel.port.layers or range(channel.receiver.layers)
        found = _own_caches(setting, [[]] * len(setting.episodes))
        return [Slot(cache={layer: one[layer] for layer in layers}) for one in found]


@CONDITIONS.register("normal", holds="latents", codec="message")
class Normal(MessageLatents):
    """The channel's packet of the episode's own message: the claim."""

    def views(self, episodes: EpisodeSet) -> list[View]:
        """Return each episode's own."""
        return own_views(episodes)


@CONDITIONS.register("null", holds="latents")
class Null(Normal):
    """True zero vectors, or keys and values, as many as the packet has: does presence help?

    Ids have no zeros: in their place stands nothing.
    """

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of zeros; those of one length share one tensor."""
        channel = setting.coded()
        zeros = torch.zeros(channel.k, channel.receiver.d_model)
        if channel.fixed:
            return [Slot(vectors=zeros) for _ in setting.episodes]
        packets = channel.packets(self.views(setting.episodes))
        whole = {n: zeros[:n] for n in range(channel.k + 1)}
        return slots_of(
            [
                EMPTY
                if packet.ids is not None
                else _zeros(packet) or Packet(vectors=whole[len(packet)])
                for packet in packets
            ]
        )

    def needs(self, setting: Setting) -> Sequence[View]:
        """Return each episode's own, where its packet tells how many there are."""
        return () if setting.fixed else super().needs(setting)


@CONDITIONS.register("random", holds="latents", codec="norms")
class Random(Normal):
    """Noise with each vector's own norm, or as many random ids: whether mere size helps.

    Of a cache with the norms that keys and values have in each layer, head and position.
    """

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of noise, each seeded by its episode."""
        channel = setting.coded()
        packets = channel.packets(self.views(setting.episodes))
        pairs = zip(packets, setting.episodes, strict=True)
        return slots_of([noise_for(packet, channel, episode.seed) for packet, episode in pairs])


@CONDITIONS.register("shuffle", holds="latents", codec="message", donor=True)
class Shuffle(MessageLatents):
    """Another episode's packet, which names a wrong option: whether this message matters."""

    def views(self, episodes: EpisodeSet) -> list[View]:
        """Return each episode's donor's message."""
        return donor_views(episodes)


@CONDITIONS.register("shuffle_N", holds="latents", codec="message", donor=True, numbers=8)
class ShuffleSender(MessageLatents):
    """Another episode's packet of one sender's alone: whether that sender's message matters."""

    def __init__(self, sender: int) -> None:
        self.sender = sender

    def views(self, episodes: EpisodeSet) -> list[View]:
        """Return each episode's own, with its donor's message of this sender."""
        return donor_views(episodes, self.sender)


@CONDITIONS.register("empty", holds="latents", codec="message")
class Empty(MessageLatents):
    """The channel's packet of an empty message: whether a message that says nothing helps."""

    def views(self, episodes: EpisodeSet) -> list[View]:
        """Return an empty message for each episode."""
        return empty_views(episodes)


@CONDITIONS.register("static", holds="latents")
class Static(Condition):
    """One prefix, trained as long, that never sees a message: whether training alone helps."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of the trained prefix; ValueError where none was given.

        Raises CodecError where it is of vectors and the channel is of caches.
        """
        if setting.static is None:
            raise ValueError("static needs a trained prefix, and none was given")
        if setting.of_caches and setting.static.port.kind != "cache":
            raise CodecError(
                "condition static: what was trained is vectors, and packets are caches; allowed: a "
                "trained cache"
            )
        return slots_of(setting.static.packets(own_views(setting.episodes)))


@CONDITIONS.register("mean", holds="latents", codec="mean")
class Mean(Condition):
    """The mean latent of training messages: whether the average message helps."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots that share the mean's prefix."""
        packet = setting.coded().packet_of(self._prefix(setting))
        return slots_of([packet for _ in setting.episodes])

    def needs(self, setting: Setting) -> Sequence[Asked]:
        """Return the messages of training."""
        return setting.training_messages

    def encode(self, setting: Setting) -> None:
        """Encode the messages of training."""
        self._prefix(setting)

    def _prefix(self, setting: Setting) -> Tensor:
        if not setting.training_messages:
            raise ValueError("mean needs messages of training, and none were given")
        return setting.coded().mean_prefix(setting.training_messages)


@CONDITIONS.register("same_answer", holds="latents", codec="message")
class SameAnswer(MessageLatents):
    """A packet of the same answer in other words: whether content counts, not identity."""

    def views(self, episodes: EpisodeSet) -> list[View]:
        """Return each episode's paraphrase; TaskError where one has none."""
        for episode in episodes:
            if not episode.paraphrase:
                raise TaskError(
                    f"same_answer: episode {episode.seed} has no message with the same answer in "
                    "other words; allowed: a task whose episodes have a paraphrase"
                )
        return paraphrase_views(episodes)


def _zeros(packet: Packet) -> Packet | None:
    """Zeros in the place of keys and values; None where there are none."""
    zeros = {
        layer: (torch.zeros_like(keys), torch.zeros_like(values))
        for layer, (keys, values) in packet.cache.items()
    }
    return Packet(cache=zeros) if zeros else None


def _own_caches(
    setting: Setting, starts: Sequence[Sequence[int]]
) -> list[dict[int, tuple[Tensor, Tensor]]]:
    """The keys and values that B computes of each episode's message behind a beginning."""
    receiver = setting.receiver
    texts = [receiver.message_ids(episode.message) for episode in setting.episodes]
    found = []
    for at in range(0, len(texts), AT_ONCE):
        own = slice(at, at + AT_ONCE)
        found += own_caches(receiver, starts[own], texts[own])
    return found


def beginning(message: str, size: int) -> str:
    """Return the first characters of a message, as many as `size` bytes of UTF-8 hold whole."""
    return message.encode()[:size].decode(errors="ignore")


def structured(episode: Episode) -> str:
    """Return what an episode's message tells, as `name: value` pairs; TaskError without facts."""
    if not isinstance(episode, ToldEpisode) or not episode.facts:
        raise TaskError(
            f"p5: episode {episode.seed} has no facts to be told as structured text; allowed: a "
            "task whose episodes have facts, such as relay"
        )
    return episode.structured


def own_views(episodes: Iterable[Episode]) -> list[View]:
    """Return what A may read of each episode."""
    return list(map(view_of, episodes))


def donor_views(episodes: EpisodeSet, sender: int | None = None) -> list[View]:
    """Return, for each episode, what A may read of it with its donor's messages.

    Args:
        episodes: each with one slot.
        sender: whose message is the donor's, by number from 1 on; None: everyone's.

    Raises:
        TaskError: there is no such sender.
    """
    pairs = [(one, episodes.donor(i)) for i, one in enumerate(episodes)]
    if sender is None:
        return [view_of(one, donor.messages) for one, donor in pairs]
    if not any(one.order for one, _ in pairs):
        return [view_of(one, one.with_senders(donor, sender)) for one, donor in pairs]
    # each slot has a sender of its own
    if not any(one.order == (sender - 1,) for one, _ in pairs):
        senders = len({one.order for one, _ in pairs})
        raise TaskError(f"shuffle_{sender}: episodes have {senders} senders; allowed: as many")
    return [
        view_of(one, donor.messages if one.order == (sender - 1,) else None) for one, donor in pairs
    ]


def empty_views(episodes: Iterable[Episode]) -> list[View]:
    """Return, for each episode, what A may read of it where nobody tells anything."""
    return [view_of(episode, ("",) * len(episode.messages)) for episode in episodes]


def paraphrase_views(episodes: Iterable[Episode]) -> list[View]:
    """Return, for each episode, what A may read of it with its answer in other words."""
    return [view_of(episode, (episode.paraphrase,)) for episode in episodes]


def noise_for(packet: Packet, channel: Channel, seed: int) -> Packet:
    """Return noise of a packet's own size: vectors of its norms, or ids drawn from all there are.

    Args:
        packet: as B gets it.
        channel: that it came through.
        seed: the episode's, which names the draw.
    """
    named = named_seed("random", seed, len(packet))
    if packet.vectors is not None:
        return Packet(vectors=_with_norms_of(packet.vectors, named))
    if packet.cache:
        return Packet(
            cache={
                layer: (
                    _with_norms_of(keys, named_seed("random", seed, len(packet), layer, "keys")),
                    _with_norms_of(
                        values, named_seed("random", seed, len(packet), layer, "values")
                    ),
                )
                for layer, (keys, values) in packet.cache.items()
            }
        )
    most = channel.alphabet
    generator = torch.Generator().manual_seed(named)
    return Packet(ids=torch.randint(most, (len(packet),), generator=generator))


def _with_norms_of(prefix: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(prefix.shape, generator=generator)
    scale = prefix.cpu().norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)
    return torch.as_tensor(noise * scale)
