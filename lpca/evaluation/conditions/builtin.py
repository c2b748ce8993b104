"""The conditions that gates know: text, latents, and their controls."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from lpca.base.hashing import named_seed
from lpca.evaluation.conditions import CONDITIONS, Condition, Setting
from lpca.receivers.forward import Slot
from lpca.tasks import Episode, EpisodeSet, TaskError, ToldEpisode


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
    """Each episode's slot holds what the codec makes of one message."""

    @abstractmethod
    def messages(self, episodes: EpisodeSet) -> list[str]:
        """Return the message of each episode's slot."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of prefixes."""
        prefixes = setting.coded().prefixes(self.messages(setting.episodes))
        return [Slot(vectors=prefix) for prefix in prefixes]

    def needs(self, setting: Setting) -> list[str]:
        """Return the message of each episode's slot."""
        return self.messages(setting.episodes)

    def encode(self, setting: Setting) -> None:
        """Encode the messages."""
        setting.coded().prefixes(self.messages(setting.episodes))


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
    """The message's own token embeddings, injected: must equal `p1`."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of embeddings."""
        texts = Message().slots(setting)
        return [Slot(vectors=setting.receiver.embed(text.ids)) for text in texts]


@CONDITIONS.register("normal", holds="latents", codec="message")
class Normal(MessageLatents):
    """The codec's latents of the episode's own message: the claim."""

    def messages(self, episodes: EpisodeSet) -> list[str]:
        """Return each episode's own message."""
        return _own_messages(episodes)


@CONDITIONS.register("null", holds="latents")
class Null(Condition):
    """k true zero vectors: whether mere presence helps."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots that share one tensor of zeros."""
        channel = setting.coded()
        zeros = torch.zeros(channel.k, channel.receiver.d_model)
        return [Slot(vectors=zeros) for _ in setting.episodes]


@CONDITIONS.register("random", holds="latents", codec="norms")
class Random(Normal):
    """Noise with each latent's own norm: whether mere size helps."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of noise, each seeded by its episode."""
        prefixes = setting.coded().prefixes(self.messages(setting.episodes))
        return [
            Slot(vectors=_with_norms_of(prefix, named_seed("random", episode.seed, len(prefix))))
            for prefix, episode in zip(prefixes, setting.episodes, strict=True)
        ]


@CONDITIONS.register("shuffle", holds="latents", codec="message", donor=True)
class Shuffle(MessageLatents):
    """Another episode's latents, which name a wrong option: whether this message matters."""

    def messages(self, episodes: EpisodeSet) -> list[str]:
        """Return each episode's donor's message."""
        return [episodes.donor(i).message for i in range(len(episodes))]


@CONDITIONS.register("empty", holds="latents", codec="message")
class Empty(MessageLatents):
    """The codec's latents of an empty message: whether a message that says nothing helps."""

    def messages(self, episodes: EpisodeSet) -> list[str]:
        """Return an empty message for each episode."""
        return [""] * len(episodes)


@CONDITIONS.register("static", holds="latents")
class Static(Condition):
    """One prefix, trained as long, that never sees a message: whether training alone helps."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of the trained prefix; ValueError where none was given."""
        if setting.static is None:
            raise ValueError("static needs a trained prefix, and none was given")
        prefixes = setting.static.prefixes(_own_messages(setting.episodes))
        return [Slot(vectors=prefix) for prefix in prefixes]


@CONDITIONS.register("mean", holds="latents", codec="mean")
class Mean(Condition):
    """The mean latent of training messages: whether the average message helps."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots that share the mean's prefix."""
        prefix = self._prefix(setting)
        return [Slot(vectors=prefix) for _ in setting.episodes]

    def needs(self, setting: Setting) -> tuple[str, ...]:
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
    """Latents of the same answer in other words: whether content counts, not identity."""

    def messages(self, episodes: EpisodeSet) -> list[str]:
        """Return each episode's paraphrase; TaskError where one has none."""
        for episode in episodes:
            if not episode.paraphrase:
                raise TaskError(
                    f"same_answer: episode {episode.seed} has no message with the same answer in "
                    "other words; allowed: a task whose episodes have a paraphrase"
                )
        return [episode.paraphrase for episode in episodes]


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


def _own_messages(episodes: EpisodeSet) -> list[str]:
    return [episode.message for episode in episodes]


def _with_norms_of(prefix: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(prefix.shape, generator=generator)
    scale = prefix.cpu().norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
    return torch.as_tensor(noise * scale)
