"""The slow path: one prompt at a time, no cache, no padding, plain forward passes of whole texts.

Of a prompt's continuations those of one length are read together, which saves a fifth of the time.
A prompt that got keys and values is read in two passes, up to the slot and behind it. What the fast
path of `lpca.receivers.forward` must give, shown on a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from lpca.evaluation.outcome import INJECTED, ReceivedPrompt
from lpca.receivers import TokenRows
from lpca.receivers.attention import cache_argument, looks
from lpca.receivers.caches import Cache, Rotation, hidden, rotation_of
from lpca.receivers.model import Receiver
from lpca.receivers.plain import plain_rows

Injected = Tensor | Cache | None
"""What stands where a prompt's ids are INJECTED: vectors [k, d_model], or keys and values by layer;
None where only tokens were given."""


def next_token_scores(
    receiver: Receiver, given: ReceivedPrompt, vectors: Injected, continuation: Sequence[int]
) -> Tensor:
    """Float32 log-probabilities [len(continuation) + 1, vocabulary] after each of its prefixes.

    Args:
        receiver: the frozen model.
        given: what B was given.
        vectors: what was injected there.
        continuation: token ids that follow what was given.
    """
    return _scores(receiver, given, vectors, [continuation])[0]


@torch.no_grad()
def _scores(
    receiver: Receiver, given: ReceivedPrompt, vectors: Injected, texts: TokenRows
) -> Tensor:
    """The same of several continuations of one length: [texts, length + 1, vocabulary]."""
    if isinstance(vectors, Mapping):
        return torch.stack([_behind_cache(receiver, given, vectors, text) for text in texts])
    ids = torch.tensor([[*given.ids, *text] for text in texts], device=receiver.device)
    inputs = {"input_ids": ids}
    injected = ids[0] == INJECTED
    if vectors is not None and bool(injected.any()):
        rows = receiver.embedding(ids.masked_fill(ids == INJECTED, receiver.pad_id)).clone()
        rows[:, injected] = vectors.to(rows)[_places(given, ids.shape[1]).to(ids.device)[injected]]
        inputs = {"inputs_embeds": rows}
    return plain_rows(receiver, inputs, len(texts[0]) + 1).log_softmax(-1)


def _places(given: ReceivedPrompt, length: int) -> Tensor:
    """By position, which of the packets' vectors stands there; of others it means nothing."""
    places = torch.arange(length) - given.start
    if given.packets:
        inside = [place for start, stop in given.packets for place in range(start, stop)]
        places[inside] = torch.arange(len(inside))
    return places


def _behind_cache(
    receiver: Receiver, given: ReceivedPrompt, cache: Cache, text: Sequence[int]
) -> Tensor:
    """The same of one continuation of a prompt that got keys and values, by the model's own path.

    B's text up to the slot is read by itself and followed by the slot's columns. Only where layers
    lack them, they are told apart by a mask of ours.
    """
    before, after = given.ids[: given.start], given.ids[given.stop :]
    kept, argument = DynamicCache(), cache_argument(type(receiver.model).forward)
    if before:
        ids = torch.tensor([before], device=receiver.device)
        receiver.model(input_ids=ids, use_cache=True, **{argument: kept})
    rotation = rotation_of(receiver)
    for layer, (heads, *widths) in enumerate(rotation.shapes):
        nothing = (torch.zeros(heads, 0, widths[0]), torch.zeros(heads, 0, widths[1]))
        keys, values = (one.to(receiver.device) for one in cache.get(layer, nothing))
        turned = _turned(rotation, layer, keys, len(before))
        kept.update(turned[None].to(receiver.dtype), values[None].to(receiver.dtype), layer)
    new, start = [*after, *text], given.stop
    places = torch.arange(start + len(new), device=receiver.device)[None]
    lacking, mask = len(cache) < receiver.layers, None
    if lacking:
        seen = looks(torch.ones_like(places, dtype=torch.bool), len(new))
        mask = receiver.own_masks.mask(
            seen, places[:, start:], places, places.shape[1], receiver.dtype
        )
    slot = range(len(before), start) if lacking else range(0)
    with hidden(receiver, kept, slot, start):
        logits = receiver.model(
            input_ids=torch.tensor([new], device=receiver.device),
            attention_mask=mask,
            position_ids=places[:, start:],
            use_cache=True,
            **{argument: kept},
        ).logits
    return torch.as_tensor(logits[0, -len(text) - 1 :]).float().log_softmax(-1)


def _turned(rotation: Rotation, layer: int, keys: Tensor, place: int) -> Tensor:
    """Keys [heads, n, head_dim] turned on by a place, as complex numbers."""
    cosines, sines = rotation.turns([place])[rotation.kinds[layer]]
    half = cosines.shape[-1] // 2
    numbers = torch.complex(keys[..., :half].double(), keys[..., half : 2 * half].double())
    numbers = numbers * torch.complex(cosines[0, :half], sines[0, :half])
    return torch.cat(
        [numbers.real.float(), numbers.imag.float(), keys[..., 2 * half :].float()], -1
    )


def option_score(
    receiver: Receiver, given: ReceivedPrompt, vectors: Injected, option: Sequence[int]
) -> float:
    """Sum of log-probabilities of an option's token ids, in nats."""
    return SlowPath(receiver, given, vectors, [option[:-1]]).option_score(option)


class SlowPath:
    """One prompt's slow path; a text that another begins with is read off that one's pass.

    Args:
        receiver: the frozen model.
        given: what B was given.
        vectors: what was injected there.
        texts: token ids of everything that will be asked for as a continuation.
    """

    def __init__(
        self,
        receiver: Receiver,
        given: ReceivedPrompt,
        vectors: Injected,
        texts: Sequence[Sequence[int]],
    ) -> None:
        self._prompt = receiver, given, vectors
        self._texts = sorted(set(map(tuple, texts)), key=len, reverse=True)
        self._known: dict[tuple[int, ...], Tensor] = {}

    def next_token_scores(self, continuation: Sequence[int]) -> Tensor:
        """As the function of that name."""
        own = tuple(continuation)
        whole = next((text for text in self._texts if text[: len(own)] == own), own)
        if whole not in self._known:
            # of what is read row by row only that is exact
            is_plain = self._prompt[0].proof.plain
            together = [whole] if is_plain else self._whole(len(whole)) or [whole]
            read = _scores(*self._prompt, together)
            self._known.update(zip(together, read, strict=True))
        return self._known[whole][: len(own) + 1]

    def _whole(self, length: int) -> list[tuple[int, ...]]:
        """The texts of a length that no other begins with."""
        longer = {text[:length] for text in self._texts if len(text) > length}
        return [text for text in self._texts if len(text) == length and text not in longer]

    def option_score(self, option: Sequence[int]) -> float:
        """As the function of that name."""
        scores = self.next_token_scores(option[:-1])
        chosen = scores[torch.arange(len(option)), torch.tensor(list(option))]
        return float(chosen.sum())
