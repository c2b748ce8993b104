"""Give B one prompt at a time, by the model's own path: no cache, no padding, no mask of ours.

For receivers that a batch with a cache and a tree of options would not read exactly: those that
keep a state (Mamba and its hybrids), that count positions otherwise (ALiBi, RoBERTa's), that look
through windows no mask tells of. What comes of it is what `lpca.receivers.forward` gives of
others, gradients too; it takes several times as long.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lpca.receivers import TokenRows
from lpca.receivers.attention import KEEP, takes
from lpca.receivers.model import Receiver
from lpca.receivers.reading import (
    Context,
    OptionTree,
    Prompts,
    Reading,
    Slot,
    Step,
    injected,
    refuse_untried,
)


def plain_logits(receiver: Receiver, inputs: dict[str, Tensor], keep: int) -> Tensor:
    """Float32 logits [keep, vocabulary] at the last positions of one row, by the model's own path.

    Args:
        receiver: the frozen model.
        inputs: `input_ids` [1, n] or `inputs_embeds` [1, n, d_model], and nothing else.
        keep: at how many positions, the last of them.
    """
    return plain_rows(receiver, inputs, keep)[0]


def plain_rows(receiver: Receiver, inputs: dict[str, Tensor], keep: int) -> Tensor:
    """The same [rows, keep, vocabulary] of several rows of one length."""
    length = next(iter(inputs.values())).shape[1]
    # as indices, which copy: of a slice the head makes one product per row, its weights copied
    last = torch.arange(max(0, length - keep), length, device=receiver.device)
    kept = {KEEP: last} if takes(type(receiver.model).forward, KEEP) else {}
    logits = receiver.model(**inputs, use_cache=False, **kept).logits
    return torch.as_tensor(logits[:, -keep:]).float()


def plain_states(model: nn.Module, embeddings: Tensor, real: Tensor) -> Tensor:
    """The last states [batch, n, d_model] of rows padded on the left, one row at a time."""
    rows = [
        model(inputs_embeds=row[None, own], use_cache=False).last_hidden_state[0]
        for row, own in zip(embeddings, real, strict=True)
    ]
    return pad_sequence(rows, batch_first=True, padding_side="left")


@dataclass(frozen=True, eq=False)
class PlainContext(Context):
    """A batch of prompts up to their slots. Nothing is read until it is known what follows."""

    receiver: Receiver
    befores: TokenRows

    @torch.no_grad()
    def read(
        self, slots: Sequence[Slot], afters: TokenRows, options: Sequence[TokenRows] | None = None
    ) -> Reading:
        """As in `Context`: each prompt, then each option's tokens behind its prompt once more."""
        trees = tuple(OptionTree.of(row) for row in options or [()] * len(slots))
        prompts = self._prompts(slots, afters, max(tree.depth for tree in trees))
        return Reading(self.receiver, prompts.through(trees), trees, prompts)

    def continuation_logits(self, slots: Sequence[Slot], afters: TokenRows, keep: int) -> Tensor:
        """As in `Context`."""
        return self._prompts(slots, afters, 0).ends(keep)

    def _prompts(self, slots: Sequence[Slot], afters: TokenRows, more: int) -> PlainPrompts:
        refuse_untried(self.receiver, list(map(len, self.befores)), slots, afters, more)
        return PlainPrompts(self.receiver, *injected(self.receiver, self.befores, slots, afters))


@dataclass(frozen=True, eq=False)
class PlainPrompts(Prompts):
    """Whole prompts: the model's inputs, padded on the left, and which columns are real."""

    receiver: Receiver
    inputs: dict[str, Tensor]
    real: Tensor

    def ends(self, keep: int) -> Tensor:
        """Logits [batch, keep, vocabulary] at the rows' last positions; zeros before a row."""
        own_rows = self.receiver.own_rows
        own = PlainPrompts(
            self.receiver,
            {name: own_rows(rows) for name, rows in self.inputs.items()},
            own_rows(self.real),
        )
        found = [own.read(row, (), keep) for row in range(len(own.real))]
        padded = [nn.functional.pad(end, (0, 0, keep - len(end), 0)) for end in found]
        return self.receiver.all_rows(torch.stack(padded), len(self.real))

    def through(self, trees: Sequence[OptionTree]) -> Tensor:
        """Logits [batch, 1 + nodes, vocabulary] at the prompts' ends and at their trees' nodes."""
        own, width = self._own_numbers(len(trees)), max(map(len, trees))
        # the prompts before any option: what B received is read off at these passes
        ends = [self.read(row, (), 1) for row in own]
        at = torch.stack([nn.functional.pad(end, (0, 0, 0, width)) for end in ends])
        for place, row in enumerate(own):
            for path in trees[row].branches():
                tokens = [trees[row].tokens[node - 1] for node in path]
                at[place, path] = self.read(row, tokens, len(path))
        return self.receiver.all_rows(at, len(trees))

    def onward(self, rows: list[int]) -> Step:
        """As in `Prompts`; rows that need not go on are not read."""
        said: list[list[int]] = [[] for _ in rows]
        own = self._own_numbers(len(rows))

        def step(new: TokenRows, still: AbstractSet[int]) -> Tensor:
            for ids, more in zip(said, new, strict=True):
                ids.extend(more)
            # one at least: how many logits there are is not known before
            wanted = [place for place in dict.fromkeys(own) if place in still] or own[:1]
            found = {place: self.read(rows[place], said[place], 1)[0] for place in wanted}
            nothing = torch.zeros_like(found[wanted[0]])
            logits = torch.stack([found.get(place, nothing) for place in own])
            return self.receiver.all_rows(logits, len(rows))

        return step

    def read(self, row: int, more: Sequence[int], keep: int) -> Tensor:
        """Float32 logits [keep, vocabulary] at the last positions of a row and of more tokens.

        Of a row that is shorter than `keep`, as many as it has positions.
        """
        ((name, rows),) = self.inputs.items()
        inputs = rows[row][self.real[row]][None]
        if more:
            ids = torch.tensor([list(more)], dtype=torch.long, device=inputs.device)
            behind = ids if name == "input_ids" else self.receiver.embedding(ids).to(inputs)
            inputs = torch.cat([inputs, behind], dim=1)
        return plain_logits(self.receiver, {name: inputs}, keep)

    def _own_numbers(self, count: int) -> list[int]:
        """Which of so many rows this process computes."""
        numbers = torch.arange(count, device=self.real.device)
        return list(self.receiver.own_rows(numbers).tolist())
