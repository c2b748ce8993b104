"""Text at the packet's own number of positions: at most k of the message's tokens.

What a channel must beat to be worth its positions. A message of no more than k tokens is whole.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from lpca.base.hashing import named_rng
from lpca.channel.packets import View
from lpca.codec.channel import as_view
from lpca.evaluation.conditions import CONDITIONS, Condition, Setting
from lpca.evaluation.conditions.builtin import own_views
from lpca.receivers.forward import Slot
from lpca.receivers.model import Receiver
from lpca.tasks import joined


class FewTokens(Condition):
    """Each episode's slot holds as many tokens of its message as its packet has positions."""

    def slots(self, setting: Setting) -> list[Slot]:
        """Return slots of token ids; ValueError without a channel, whose packets they stand for."""
        receiver, found = setting.receiver, []
        for episode, k in zip(setting.episodes, positions_of(setting), strict=True):
            ids = receiver.message_ids(episode.message)
            kept = ids if len(ids) <= k else self.kept(episode.message, ids, k, setting)
            found.append(Slot(ids=tuple(kept)))
        return found

    def needs(self, setting: Setting) -> Sequence[View]:
        """Return each episode's own, where its packet tells how many positions it has."""
        return () if setting.fixed else own_views(setting.episodes)

    def encode(self, setting: Setting) -> None:
        """Have them sent and received."""
        setting.coded().prepare(self.needs(setting))

    @abstractmethod
    def kept(self, message: str, ids: Sequence[int], k: int, setting: Setting) -> Sequence[int]:
        """Return k token ids or fewer of a message that has more."""


def positions_of(setting: Setting) -> list[int]:
    """Return how many positions each episode's own packet has at B's."""
    channel = setting.coded()
    if channel.fixed:
        return [channel.k] * len(setting.episodes)
    return list(map(len, channel.packets(own_views(setting.episodes))))


@CONDITIONS.register("first_k", holds="text", tokens="k")
class First(FewTokens):
    """The message's first k tokens: what truncation is worth."""

    def kept(self, message: str, ids: Sequence[int], k: int, setting: Setting) -> Sequence[int]:
        """Return the first k."""
        return ids[:k]


@CONDITIONS.register("random_k", holds="text", tokens="k")
class Sample(FewTokens):
    """k of the message's tokens, in their order: what a choice that knows nothing is worth."""

    def kept(self, message: str, ids: Sequence[int], k: int, setting: Setting) -> Sequence[int]:
        """Return those that the message's own named seed draws."""
        places = named_rng("random_k", k, message).sample(range(len(ids)), k)
        return [ids[place] for place in sorted(places)]


@CONDITIONS.register("keywords_k", holds="text", tokens="k")
class Keywords(FewTokens):
    """k tokens of the message's rarest words: what a cheap choice of words is worth."""

    def kept(self, message: str, ids: Sequence[int], k: int, setting: Setting) -> Sequence[int]:
        """Return tokens of `keywords`, by how many training messages hold a word."""
        texts = tuple(joined(as_view(one).messages) for one in setting.training_messages)
        held = document_frequencies(texts)
        return keywords(setting.receiver, message, k, held)


def keywords(
    receiver: Receiver, message: str, k: int, frequencies: Mapping[str, int]
) -> Sequence[int]:
    """Return k token ids of a message's rarest words, in the message's order; fewer if it has none.

    The rarest word comes first, of equally rare ones the first in the message; the one that no
    longer fits is cut.

    Args:
        receiver: whose tokens they are.
        message: the text.
        k: how many tokens there may be.
        frequencies: in how many documents each word stands, as of `document_frequencies`.
    """
    words = list(dict.fromkeys(words_of(message)))
    kept, room = dict[str, int](), k
    # sorting keeps the order of equals
    for word in sorted(words, key=lambda word: frequencies.get(word.casefold(), 0)):
        kept[word] = min(room, len(receiver.segment_ids(f" {word}")))
        room -= kept[word]
    found: list[int] = []
    for word in filter(kept.__getitem__, words):
        # the first stands behind the prompt's own joint, as a message does
        ids = receiver.segment_ids(f" {word}") if found else receiver.message_ids(word)
        found += ids[: kept[word]]
    return found


def words_of(text: str) -> list[str]:
    """Return a text's words, without what stands between them.

    Example:
        >>> words_of("Off to Oslo, at 9.")
        ['Off', 'to', 'Oslo', 'at', '9']
    """
    return re.findall(r"\w+", text)


@lru_cache(maxsize=4)
def document_frequencies(messages: tuple[str, ...]) -> Counter[str]:
    """Return in how many of some messages each word stands, whatever its case.

    Raises:
        ValueError: there are no messages.

    Example:
        >>> document_frequencies(("To Oslo, to Oslo!", "to Rome"))["to"]
        2
    """
    if not messages:
        raise ValueError("keywords_k needs messages of training, and none were given")
    return Counter(word for text in messages for word in {w.casefold() for w in words_of(text)})
