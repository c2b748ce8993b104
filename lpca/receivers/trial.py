"""Rows of tokens drawn at random, read as an evaluation reads them and by the model's own passes.

A plain pass of one row, alone and without a cache, is what everything else is compared with. Most
of the time goes into those: each is made once where two comparisons need it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from lpca.receivers import TokenRows
from lpca.receivers.features import Measured
from lpca.receivers.model import Receiver
from lpca.receivers.plain import plain_logits
from lpca.receivers.reading import Context, Reading, Slot

SEED = 18
BEYOND = 9
"""A row crosses a window by so many tokens; the second longest row by half as many."""
TOLERANCE = 1e-4
"""Nats by which a log-probability may be off."""
ROUNDINGS, ROUNDINGS_OF_HALVES = 16, 3
"""Times what rounding an input alone does, by which it may be off; see `Trial.rounding`. Sums in
another order round more than that in float32; halves are summed in float32, and rounded once.
Where halves were tried in float32 too, as much is allowed them."""
SLOT, SAID = 3, 4
"""Tokens of a row's slot, and those that it goes on with."""

Read = Callable[[Receiver, TokenRows], Context]
Pairs = Iterator[tuple[Tensor, Tensor]]
"""Log-probabilities [positions, n]: as read, and of the model's own plain pass."""


@dataclass(frozen=True, eq=False)
class Trial:
    """Rows of up to `length` tokens, drawn by SEED, and what the model's own passes give.

    `where` is what messages add, of a copy in another precision. Scores may be off by so many
    `times` what rounding an input does.
    """

    receiver: Receiver
    length: int
    where: str = ""
    times: int = ROUNDINGS
    _kept: dict[tuple[int, ...], Tensor] = field(default_factory=dict)

    @cached_property
    def _tokens(self) -> Callable[[int], list[int]]:
        special = set(self.receiver.tokenizer.all_special_ids) | self.receiver.end_ids
        generator = torch.Generator().manual_seed(SEED)
        size = self.receiver.embedding.num_embeddings

        def draw(count: int) -> list[int]:
            ids: list[int] = []
            while len(ids) < count:
                token = int(torch.randint(size, (), generator=generator))
                # of a table of special tokens alone, any
                if token not in special or len(special) >= size:
                    ids.append(token)
            return ids

        return draw

    @cached_property
    def rows(self) -> list[tuple[list[int], list[int], list[int]]]:
        """What stands before, in and after the slots of rows of three lengths, padded in a batch.

        The second crosses what the first crosses; the third is as short as can be.
        """
        # what follows, options or what is said, takes the longest row's last tokens
        longest = self.length - SAID
        lengths = (longest, longest - BEYOND // 2, SLOT + 2)
        found = []
        for length in lengths:
            ids, before = self._tokens(length), max(1, (length - SLOT) * 2 // 3)
            found.append((ids[:before], ids[before : before + SLOT], ids[before + SLOT :]))
        return found

    @cached_property
    def options(self) -> list[list[list[int]]]:
        """Of the first row two options that begin alike, of the others one."""
        (a, b, c, *ends) = self._tokens(6)
        return [[[a, b, ends[0]], [a, c, ends[1]]], [[b, ends[2]]], [[c, ends[2]]]]

    @cached_property
    def vectors(self) -> list[Tensor]:
        """What is injected into each slot: means of two embeddings, which are no token's."""
        embed, pairs = self.receiver.embed, [self._tokens(2 * SLOT) for _ in self.rows]
        return [(embed(ids[:SLOT]) + embed(ids[SLOT:])) / 2 for ids in pairs]

    def parts(self, read: Read, name: str) -> dict[str, Callable[[], Measured]]:
        """What compares a way of reading with the model's own passes, by what messages call it.

        Args:
            read: opens a batch of contexts in that way.
            name: what messages call it.
        """
        befores, slots, afters = (list(one) for one in zip(*self.rows, strict=True))

        @cache
        def context() -> Context:
            return read(self.receiver, befores)

        @cache
        def of_tokens() -> Reading:
            return context().read([Slot(tuple(ids)) for ids in slots], afters, self.options)

        def of_vectors() -> Reading:
            return context().read([Slot(vectors=v) for v in self.vectors], afters, self.options)

        parts: dict[str, Callable[[], Pairs]] = {
            f"{name}: tokens": lambda: self._of_tokens(of_tokens()),
            f"{name}: vectors": lambda: self._of_vectors(of_vectors()),
            "embeddings of tokens": self._embedded,
            f"{name}: greedy": lambda: self._lags(of_tokens().continuations(SAID)[0]),
            "generate": self._generated,
            "the same row read again": self._repeated,
        }
        return {
            part + self.where: partial(self._measured, part + self.where, pairs)
            for part, pairs in parts.items()
        }

    def _own_ids(self, row: int, branch: Sequence[int]) -> dict[str, Tensor]:
        before, slot, after = self.rows[row]
        return {"input_ids": self._ids([*before, *slot, *after, *branch])}

    def _own_vectors(self, row: int, branch: Sequence[int]) -> dict[str, Tensor]:
        embeddings = self.receiver.embedding(self._own_ids(row, branch)["input_ids"]).clone()
        start = len(self.rows[row][0])
        embeddings[0, start : start + SLOT] = self.vectors[row]
        return {"inputs_embeds": embeddings}

    def _ids(self, ids: Sequence[int]) -> Tensor:
        return torch.tensor([list(ids)], dtype=torch.long, device=self.receiver.device)

    def _scores(self, inputs: dict[str, Tensor], keep: int) -> Tensor:
        """Log-probabilities [keep, vocabulary] of a plain pass."""
        return plain_logits(self.receiver, inputs, keep).log_softmax(-1)

    @cached_property
    def _first(self) -> Tensor:
        """Of the first row and its first option, at all positions that are compared."""
        return self._scores(self._own_ids(0, self.options[0][0][:-1]), SAID)

    def _said(self, said: Sequence[int]) -> Tensor:
        """Of the first row gone on with, at the ends before each token and behind the last."""
        if tuple(said) not in self._kept:
            self._kept[tuple(said)] = self._scores(self._own_ids(0, said), len(said) + 1)
        return self._kept[tuple(said)]

    def _of_tokens(self, reading: Reading) -> Pairs:
        """At each prompt's end and at each node of its options."""
        for row, options in enumerate(self.options):
            for option in options:
                found = self._at(reading, row, option)
                if option is self.options[0][0]:
                    yield found, self._first[-len(found) :]
                else:
                    yield found, self._scores(self._own_ids(row, option[:-1]), len(found))

    def _of_vectors(self, reading: Reading) -> Pairs:
        """Where tokens may stand, in the first row and in the one that is padded most."""
        for row in (0, len(self.options) - 1):
            option = self.options[row][-1]
            found = self._at(reading, row, option)
            yield found, self._scores(self._own_vectors(row, option[:-1]), len(found))

    def _at(self, reading: Reading, row: int, option: Sequence[int]) -> Tensor:
        return reading.at[row, reading.trees[row].path(option)].float().log_softmax(-1)

    def _embedded(self) -> Pairs:
        """Tokens' own embeddings, injected, are what the tokens are."""
        ids = self._own_ids(0, self.options[0][0][:-1])["input_ids"]
        yield self._scores({"inputs_embeds": self.receiver.embedding(ids)}, SAID), self._first

    def _repeated(self) -> Pairs:
        """The first row's pass gives what it gave before others were read."""
        yield self._scores(self._own_ids(0, self.options[0][0][:-1]), SAID), self._first

    def _lags(self, said: Sequence[int]) -> Pairs:
        """Of each token said behind the first row, by how much another is more probable there.

        That is nothing but for rounding. Where less than SAID is said, an end is the next.
        """
        scores = self._said(said)
        found = [scores[i, token] for i, token in enumerate(said)]
        if len(said) < SAID:
            found.append(scores[len(said), sorted(self.receiver.end_ids)].max())
        yield torch.stack(found)[:, None], scores.amax(-1)[: len(found), None]

    def _generated(self) -> Pairs:
        """What the model's own `generate` goes by behind the first row, token by token."""
        model, ids = self.receiver.model, self._own_ids(0, [])["input_ids"]
        settings: Any = GenerationConfig
        plainly = settings(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=SAID,
            eos_token_id=sorted(self.receiver.end_ids) or None,
            pad_token_id=self.receiver.pad_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        generate: Any = model.generate
        output = generate(ids, attention_mask=torch.ones_like(ids), generation_config=plainly)
        logits = torch.cat(output.logits).float()
        said = output.sequences[0, ids.shape[1] :].tolist()
        yield logits.log_softmax(-1), self._said(said)[: len(said)]

    def _measured(self, part: str, pairs: Callable[[], Pairs]) -> Measured:
        """How far found log-probabilities [positions, n] are from the model's own."""
        worst = spread(pairs())
        allowed = TOLERANCE
        if worst > allowed:
            allowed = max(allowed, self.times * self.rounding)
        return Measured(part, self.length, worst, allowed)

    @cached_property
    def rounding(self) -> float:
        """What rounding alone does to a log-probability, in nats: the worst over the vocabulary.

        That is how far a plain pass is from itself where each number of its input is off by half
        a unit in the last place, up or down by lot.
        """
        ids = self._own_ids(0, self.options[0][0][:-1])["input_ids"]
        rows = self.receiver.embedding(ids)
        generator = torch.Generator().manual_seed(SEED)
        signs = torch.randint(2, rows.shape, generator=generator).to(rows.device) * 2 - 1
        step = 1 + signs * torch.finfo(rows.dtype).eps / 2
        off = (rows.double() * step).to(rows.dtype)
        plain, shaken = (self._scores({"inputs_embeds": given}, SAID) for given in (rows, off))
        return spread([(plain, shaken)])


def spread(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """The largest difference of pairs of scores; NaN where one of them is NaN."""
    worst = 0.0
    for one, other in pairs:
        # an infinite score on both sides is the same score
        off = float(torch.where(one == other, 0.0, one - other).abs().max())
        worst = off if math.isnan(off) or off > worst else worst
        if math.isnan(worst):
            break
    return worst
