"""What B receives under each condition: the one place that decides it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from lpca.base.hashing import named_seed
from lpca.base.registry import Registry
from lpca.codec.channel import Channel
from lpca.gatespec.model import TRUNCATED
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.tasks import Episode, EpisodeSet, TaskError, ToldEpisode

TEXTS = ("p1", *TRUNCATED, "p5", "embed")
"""Conditions whose slot holds text, as tokens or as their embeddings."""
MESSAGE_LATENTS = ("normal", "shuffle", "same_answer")
"""Conditions whose slot holds what the codec made of one message, as it is."""
SlotMaker = Callable[["Setting"], "Sequence[Slot]"]
"""What a condition is: it makes the slots of a setting's episodes, in their order."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What slots are made from; a part is absent where no condition needs it.

    Attributes:
        receiver: the frozen model that plays B.
        channel: the codec under test at work.
        episodes: those whose slots are made.
        static: the trained prefix that ignores messages.
        training_messages: those over whose latents `mean` takes the mean.
        exchanged: conditions that give B something else than their own functions do: the seam at
            which a fault is planted.
    """

    receiver: Receiver
    channel: Channel | None
    episodes: EpisodeSet
    static: Channel | None = None
    training_messages: tuple[str, ...] = ()
    exchanged: Mapping[str, SlotMaker] = field(default_factory=dict)

    def coded(self) -> Channel:
        """The channel; ValueError without one."""
        if self.channel is None:
            raise ValueError("this condition needs a codec, and none was given")
        return self.channel


CONDITIONS: Registry[Callable[[Setting], list[Slot]]] = Registry("condition")


@CONDITIONS.register("p0")
def _p0(setting: Setting) -> list[Slot]:
    return [Slot() for _ in setting.episodes]


@CONDITIONS.register("p1")
def _p1(setting: Setting) -> list[Slot]:
    return _texts(setting, _own_messages(setting.episodes))


def _p2(size: int, setting: Setting) -> list[Slot]:
    return _texts(setting, [beginning(e.message, size) for e in setting.episodes])


for _name, _size in TRUNCATED.items():
    CONDITIONS.register(_name)(partial(_p2, _size))


@CONDITIONS.register("p5")
def _p5(setting: Setting) -> list[Slot]:
    return _texts(setting, [structured(episode) for episode in setting.episodes])


@CONDITIONS.register("embed")
def _embed(setting: Setting) -> list[Slot]:
    return [Slot(vectors=setting.receiver.embed(text.ids)) for text in _p1(setting)]


@CONDITIONS.register("normal")
def _normal(setting: Setting) -> list[Slot]:
    return _encoded(setting, _own_messages)


@CONDITIONS.register("null")
def _null(setting: Setting) -> list[Slot]:
    channel = setting.coded()
    zeros = torch.zeros(channel.k, channel.receiver.d_model)
    return [Slot(vectors=zeros) for _ in setting.episodes]


@CONDITIONS.register("random")
def _random(setting: Setting) -> list[Slot]:
    prefixes = setting.coded().prefixes(_own_messages(setting.episodes))
    return [
        Slot(vectors=_with_norms_of(prefix, named_seed("random", episode.seed, len(prefix))))
        for prefix, episode in zip(prefixes, setting.episodes, strict=True)
    ]


@CONDITIONS.register("shuffle")
def _shuffle(setting: Setting) -> list[Slot]:
    return _encoded(setting, _donors_messages)


@CONDITIONS.register("static")
def _static(setting: Setting) -> list[Slot]:
    if setting.static is None:
        raise ValueError("static needs a trained prefix, and none was given")
    prefixes = setting.static.prefixes(_own_messages(setting.episodes))
    return [Slot(vectors=prefix) for prefix in prefixes]


@CONDITIONS.register("mean")
def _mean(setting: Setting) -> list[Slot]:
    prefix = _mean_prefix(setting)
    return [Slot(vectors=prefix) for _ in setting.episodes]


@CONDITIONS.register("same_answer")
def _same_answer(setting: Setting) -> list[Slot]:
    return _encoded(setting, _paraphrases)


def build_slots(condition: str, setting: Setting) -> Sequence[Slot]:
    """Return what stands in each episode's slot under a condition.

    Raises:
        ValueError: the condition is unknown, or the setting lacks what it needs.
        TaskError: the episodes lack what it needs.
        CodecError: the codec gives what no prefix can be.
    """
    if condition not in CONDITIONS:
        raise ValueError(f"unknown condition {condition!r}; allowed: {', '.join(CONDITIONS)}")
    return setting.exchanged.get(condition, CONDITIONS[condition])(setting)


def encode_messages(conditions: Sequence[str], setting: Setting) -> None:
    """Encode, once, all the messages whose latents some conditions inject; the channel keeps them.

    Before any outcome is looked up or computed: then latents do not depend on how the episodes are
    divided into blocks, and what a user's codec does to the receiver while it encodes is done.

    Raises:
        ValueError, TaskError, CodecError: as for `build_slots`.
    """
    for condition in conditions:
        if condition in _ENCODED:
            setting.coded().prefixes(_ENCODED[condition](setting.episodes))
        elif condition == "mean":
            _mean_prefix(setting)


def _own_messages(episodes: EpisodeSet) -> list[str]:
    return [episode.message for episode in episodes]


def _donors_messages(episodes: EpisodeSet) -> list[str]:
    return [episodes.donor(i).message for i in range(len(episodes))]


def _paraphrases(episodes: EpisodeSet) -> list[str]:
    for episode in episodes:
        if not episode.paraphrase:
            raise TaskError(
                f"same_answer: episode {episode.seed} has no message with the same answer in "
                "other words; allowed: a task whose episodes have a paraphrase"
            )
    return [episode.paraphrase for episode in episodes]


_ENCODED: Mapping[str, Callable[[EpisodeSet], list[str]]] = MappingProxyType(
    {
        "normal": _own_messages,
        "random": _own_messages,
        "shuffle": _donors_messages,
        "same_answer": _paraphrases,
    }
)
"""By condition: which message of each episode the codec encodes for it."""


def _texts(setting: Setting, texts: Sequence[str]) -> list[Slot]:
    return [Slot(ids=tuple(setting.receiver.message_ids(text))) for text in texts]


def _encoded(setting: Setting, messages_of: Callable[[EpisodeSet], list[str]]) -> list[Slot]:
    prefixes = setting.coded().prefixes(messages_of(setting.episodes))
    return [Slot(vectors=prefix) for prefix in prefixes]


def _mean_prefix(setting: Setting) -> Tensor:
    if not setting.training_messages:
        raise ValueError("mean needs messages of training, and none were given")
    return setting.coded().mean_prefix(setting.training_messages)


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


def _with_norms_of(prefix: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(prefix.shape, generator=generator)
    scale = prefix.cpu().norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
    return torch.as_tensor(noise * scale)
