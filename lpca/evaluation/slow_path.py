"""The slow path: one prompt at a time, no cache, no padding, plain forward passes of whole texts.

Of a prompt's continuations those of one length are read together, which saves a fifth of the time.
What the fast path of `lpca.receivers.forward` must give, shown on a sample.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lpca.evaluation.outcome import INJECTED, ReceivedPrompt
from lpca.receivers import TokenRows
from lpca.receivers.model import Receiver
from lpca.receivers.plain import plain_rows


def next_token_scores(
    receiver: Receiver, given: ReceivedPrompt, vectors: Tensor | None, continuation: Sequence[int]
) -> Tensor:
    """Float32 log-probabilities [len(continuation) + 1, vocabulary] after each of its prefixes.

    Args:
        receiver: the frozen model.
        given: what B was given; where its ids are INJECTED, `vectors` [k, d_model] stand.
        vectors: None where only tokens were given.
        continuation: token ids that follow what was given.
    """
    return _scores(receiver, given, vectors, [continuation])[0]


@torch.no_grad()
def _scores(
    receiver: Receiver, given: ReceivedPrompt, vectors: Tensor | None, texts: TokenRows
) -> Tensor:
    """The same of several continuations of one length: [texts, length + 1, vocabulary]."""
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


def option_score(
    receiver: Receiver, given: ReceivedPrompt, vectors: Tensor | None, option: Sequence[int]
) -> float:
    """Sum of log-probabilities of an option's token ids, in nats."""
    return SlowPath(receiver, given, vectors, [option[:-1]]).option_score(option)


class SlowPath:
    """One prompt's slow path; a text that another begins with is read off that one's pass.

    Args:
        receiver: the frozen model.
        given: what B was given, and `vectors` [k, d_model], as for `next_token_scores`.
        vectors: None where only tokens were given.
        texts: token ids of everything that will be asked for as a continuation.
    """

    def __init__(
        self,
        receiver: Receiver,
        given: ReceivedPrompt,
        vectors: Tensor | None,
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
