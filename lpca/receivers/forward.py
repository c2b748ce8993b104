"""Give B a prompt and its options in one pass; score them and go on from it.

The context before the slot is computed once and shared by every condition. The options' tokens
stand side by side behind the prompt, each sees the prompt and its own option only. What B says is
mostly one of them: it is followed in what is computed already, and generated where it leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from lpca.receivers import TokenRows
from lpca.receivers.model import Receiver

Decided = Callable[[int, list[int]], bool]
"""Whether a row, of which so much is said, need not go on."""
Pick = Callable[[int, Tensor], int]
"""A row's next token, of its logits [vocabulary]; asked for once for each token it says."""
ROOT = 0
"""The node where a prompt ends, of the tree of its options."""


@dataclass(frozen=True, eq=False)
class Slot:
    """What stands in a prompt's slot: token ids, or vectors [k, d_model], or nothing."""

    ids: tuple[int, ...] = ()
    vectors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids) if self.vectors is None else int(self.vectors.shape[0])


@torch.no_grad()
def read_context(receiver: Receiver, befores: TokenRows) -> Context:
    """Read a batch of prompts up to their slots; rows may differ in length."""
    ids, visible = left_padded(befores, receiver.pad_id, receiver.device)
    cache = DynamicCache()
    forward(receiver, cache, visible, {"input_ids": ids}, keep=1)
    return Context(receiver, cache, visible)


@dataclass(frozen=True, eq=False)
class Context:
    """A batch of prompts read up to their slots; `visible` [batch, n] tells ids from padding."""

    receiver: Receiver
    cache: DynamicCache
    visible: Tensor

    @torch.no_grad()
    def read(
        self, slots: Sequence[Slot], afters: TokenRows, options: Sequence[TokenRows] | None = None
    ) -> Reading:
        """Read on through each row's slot, the text after it and its options.

        Args:
            slots: what stands in each row's slot. Tokens go in as token ids, vectors as
                embeddings: two paths, so that injecting a message's own embeddings tests the
                injection.
            afters: token ids of the text behind each slot.
            options: token ids of each row's options.

        Raises:
            ValueError: slots of tokens and of vectors in one batch, which takes one path.
        """
        trees = tuple(OptionTree.of(row) for row in options or [()] * len(slots))
        cache = part_of_cache(self.cache)
        visible, inputs = self._behind(slots, afters)
        logits = forward(self.receiver, cache, visible, inputs, keep=1, trees=trees)
        return Reading(self.receiver, cache, visible, logits, trees)

    def continuation_logits(self, slots: Sequence[Slot], afters: TokenRows, keep: int) -> Tensor:
        """Float32 logits [batch, keep, vocabulary] at the last `keep` positions of each row.

        Gradients reach the slots' vectors.
        """
        visible, inputs = self._behind(slots, afters)
        return forward(self.receiver, part_of_cache(self.cache), visible, inputs, keep)

    def _behind(self, slots: Sequence[Slot], afters: TokenRows) -> tuple[Tensor, dict[str, Tensor]]:
        """Which positions are visible with slots and texts, and the model's inputs of these."""
        if len({slot.vectors is None for slot in slots}) != 1:
            raise ValueError("a batch holds slots of tokens or slots of vectors, not both")
        receiver = self.receiver
        pads = [[receiver.pad_id] * len(s) if s.vectors is not None else s.ids for s in slots]
        rows = [[*slot, *after] for slot, after in zip(pads, afters, strict=True)]
        ids, real = left_padded(rows, receiver.pad_id, receiver.device)
        visible = torch.cat([self.visible, real], dim=1)
        if slots[0].vectors is None:
            return visible, {"input_ids": ids}
        return visible, {"inputs_embeds": _inject(receiver.embedding(ids), slots, real)}


@dataclass(frozen=True, eq=False)
class Reading:
    """A batch of prompts read to their ends, and on through the trees of their options.

    `visible` [batch, total] tells a prompt's own positions from padding; the trees' columns stand
    behind them in `cache`. `at` [batch, 1 + nodes, vocabulary] are float32 logits at ROOT and at
    each node. `pick` says which token comes next; None: the most probable.
    """

    receiver: Receiver
    cache: DynamicCache
    visible: Tensor
    at: Tensor
    trees: tuple[OptionTree, ...]
    pick: Pick | None = None

    @property
    def logits(self) -> Tensor:
        """Logits [batch, vocabulary] at the prompts' ends."""
        return self.at[:, ROOT]

    @torch.no_grad()
    def option_scores(self, options: Sequence[TokenRows]) -> list[list[float]]:
        """Sum of log-probabilities of each row's options, each a sequence of token ids.

        They are those that were read, or their beginnings; another one is a KeyError.
        """
        spots = [
            (i, node, token)
            for i, (tree, row) in enumerate(zip(self.trees, options, strict=True))
            for option in row
            for node, token in zip(tree.path(option), option, strict=True)
        ]
        rows, nodes, tokens = torch.tensor(spots, device=self.at.device).T
        steps = (self.at[rows, nodes, tokens] - self._normaliser[rows, nodes]).tolist()
        following = iter(steps)
        return [[sum(next(following) for _ in option) for option in row] for row in options]

    @cached_property
    def _normaliser(self) -> Tensor:
        return self.at.logsumexp(-1)

    @torch.no_grad()
    def continuations(self, limit: int, decided: Decided | None = None) -> list[list[int]]:
        """Tokens one by one, as `pick` has them, up to an end token (not kept) or `limit`.

        A row also stops where `decided(row, ids so far)` holds; what it would have said after
        that is not computed.
        """
        said: list[list[int]] = [[] for _ in self.trees]

        def says(i: int, token: int) -> bool:
            if token in self.receiver.end_ids:
                return False
            said[i].append(token)
            return len(said[i]) < limit and not (decided is not None and decided(i, said[i]))

        left = [i for i in range(len(said)) if limit and self._follow(i, says)]
        if left:
            self._generate(left, said, says)
        return said

    @cached_property
    def _best(self) -> list[list[int]]:
        return cast("list[list[int]]", self.at.argmax(-1).tolist())

    def _follow(self, i: int, says: Callable[[int, int], bool]) -> bool:
        """Say what the tree already tells; whether there is more to say that it does not tell."""
        node: int | None = ROOT
        while node is not None:
            token = self.pick(i, self.at[i, node]) if self.pick else self._best[i][node]
            if not says(i, token):
                return False
            node = self.trees[i].child(node, token)
        return True

    def _generate(
        self, rows: list[int], said: list[list[int]], says: Callable[[int, int], bool]
    ) -> None:
        """Go on where each of these rows left its tree, all of them step by step."""
        receiver, device = self.receiver, self.receiver.device
        cache = part_of_cache(self.cache, rows, self.visible.shape[1])
        ids, real = left_padded([said[i] for i in rows], receiver.pad_id, device)
        visible = torch.cat([self.visible[rows], real], dim=1)
        still = set(rows)
        while True:
            logits = forward(receiver, cache, visible, {"input_ids": ids}, keep=1)[:, -1]
            tokens = self._picked(rows, still, logits)
            still = {
                i for i, token in zip(rows, tokens, strict=True) if i in still and says(i, token)
            }
            if not still:
                return
            ids = torch.tensor(tokens, device=device)[:, None]
            visible = torch.cat([visible, visible.new_ones((len(rows), 1))], 1)

    def _picked(self, rows: Sequence[int], still: AbstractSet[int], logits: Tensor) -> list[int]:
        """A next token for each of these rows; whichever, for one that says no more."""
        best: list[int] = logits.argmax(-1).tolist()
        if self.pick is None:
            return best
        pairs = zip(rows, best, logits, strict=True)
        return [self.pick(i, own) if i in still else token for i, token, own in pairs]


@dataclass(frozen=True)
class OptionTree:
    """A prompt's options as a tree of tokens: what they begin with alike stands in it once.

    Nodes stand behind a prompt's end, parents first; ROOT is the end itself. Node n > 0 holds
    `tokens[n - 1]` behind `parents[n - 1]`. An option's last token is no node: it is read off
    where the one before it stands.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, options: TokenRows) -> OptionTree:
        """Return the tree of one prompt's options, each a sequence of token ids."""
        tree = cls()
        for option in options:
            node = ROOT
            for token in option[:-1]:
                if (node, token) not in tree._children:
                    tree.tokens.append(token)
                    tree.parents.append(node)
                    tree._children[node, token] = len(tree.tokens)
                node = tree._children[node, token]
        return tree

    def __len__(self) -> int:
        return len(self.tokens)

    def child(self, node: int, token: int) -> int | None:
        """Return the node of a token behind a node, if there is one."""
        return self._children.get((node, token))

    def path(self, option: Sequence[int]) -> list[int]:
        """Return the nodes where an option's tokens are predicted, ROOT first."""
        nodes = [ROOT]
        for token in option[:-1]:
            nodes.append(self._children[nodes[-1], token])
        return nodes

    def depths(self) -> list[int]:
        """Return how far each node stands behind the prompt's end; 0 directly behind it."""
        depths = [-1]
        for parent in self.parents:
            depths.append(depths[parent] + 1)
        return depths[1:]


def forward(
    receiver: Receiver,
    cache: DynamicCache,
    visible: Tensor,
    inputs: dict[str, Tensor],
    keep: int,
    trees: Sequence[OptionTree] = (),
) -> Tensor:
    """Run the model over new columns, and over trees of options behind them.

    Args:
        receiver: the frozen model.
        cache: keys and values of the columns before; the new ones are added to it.
        visible: bool [batch, total]; False marks padding.
        inputs: `input_ids` [batch, columns] or `inputs_embeds` [batch, columns, d_model] of the
            last columns of `visible`.
        keep: at how many of the new columns logits are wanted, the last of them.
        trees: one for each row, or none.

    Returns:
        Float32 logits [batch, keep + nodes, vocabulary], nodes being those of the largest tree.
    """
    columns = next(iter(inputs.values())).shape[1]
    positions = receiver.positions(visible)[:, -columns:]
    looks = _looks(visible, columns)
    width = max(map(len, trees), default=0)
    if width:
        ids, depths, behind = (t.to(receiver.device) for t in _side_by_side(trees, receiver.pad_id))
        ((name, rows),) = inputs.items()
        nodes = ids if name == "input_ids" else receiver.embedding(ids).to(rows)
        inputs = {name: torch.cat([rows, nodes], dim=1)}
        places = visible.long().sum(1, keepdim=True) + depths
        positions = torch.cat([positions, places], dim=1)
        # a node looks at the whole prompt and at its own branch; no column of the prompt at a node
        of_nodes = torch.cat([visible[:, None].expand(-1, width, -1), behind], dim=2)
        unseen = looks.new_zeros((len(looks), columns, width))
        looks = torch.cat([torch.cat([looks, unseen], dim=2), of_nodes], dim=1)
    # as indices, which copy: of a slice the head makes one product per row, its weights copied
    kept = torch.arange(columns - keep, columns + width, device=receiver.device)
    output = receiver.model(
        **{name: receiver.own_rows(rows) for name, rows in inputs.items()},
        attention_mask=receiver.own_rows(_additive(looks, receiver.dtype)),
        position_ids=receiver.own_rows(positions),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=kept,
    )
    return receiver.all_rows(output.logits, len(visible)).float()


def _inject(embeddings: Tensor, slots: Sequence[Slot], real: Tensor) -> Tensor:
    """Put each slot's vectors where its row's own columns begin."""
    rows = embeddings.clone()
    starts = (~real).sum(1).tolist()
    for i, slot in enumerate(slots):
        if slot.vectors is not None:
            rows[i, starts[i] : starts[i] + len(slot)] = slot.vectors.to(rows)
    return rows


def _side_by_side(trees: Sequence[OptionTree], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lay trees side by side in as many columns as the largest needs.

    Returns:
        ids [batch, width], filled up with `pad`; depths [batch, width], 0 where none is; and bool
        [batch, width, width]: whether a column's node stands behind another's, or is it.
    """
    tokens = [torch.tensor(tree.tokens, dtype=torch.long) for tree in trees]
    ids = pad_sequence(tokens, batch_first=True, padding_value=pad)
    own_depths = [torch.tensor(tree.depths(), dtype=torch.long) for tree in trees]
    depths = pad_sequence(own_depths, batch_first=True)
    behind = torch.eye(ids.shape[1], dtype=torch.bool).repeat(len(trees), 1, 1)
    for i, tree in enumerate(trees):
        for column, parent in enumerate(tree.parents):
            if parent != ROOT:
                behind[i, column] |= behind[i, parent - 1]
    return ids, depths, behind


def causal_mask(visible: Tensor, columns: int, dtype: torch.dtype) -> Tensor:
    """Additive mask for the last `columns` of each row, each seeing itself and what came before.

    Args:
        visible: bool [batch, total]; False marks padding, which nobody sees but itself.
        columns: number of new columns at the right end, the queries.
        dtype: floating-point type of the result.

    Returns:
        [batch, 1, columns, total]: 0 where a query may look, the type's lowest value elsewhere.
    """
    return _additive(_looks(visible, columns), dtype)


def _looks(visible: Tensor, columns: int) -> Tensor:
    """Where each of the last `columns` may look, bool [batch, columns, total]."""
    total = visible.shape[1]
    position = torch.arange(total, device=visible.device)
    query = position[total - columns :, None]
    allowed = (position[None, :] <= query)[None] & visible[:, None, :]
    return allowed | (position[None, :] == query)[None]


def _additive(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """Turn bool [batch, query, key] into an additive mask [batch, 1, query, key]."""
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device)
    return mask.masked_fill_(~allowed, torch.finfo(dtype).min)[:, None]


def part_of_cache(
    cache: DynamicCache, rows: list[int] | None = None, columns: int | None = None
) -> DynamicCache:
    """Return a cache that starts from some rows' first columns of another, and grows apart.

    Growing concatenates into new tensors, so the original's are shared, never changed.
    """
    fresh = DynamicCache()
    for number, layer in enumerate(cache.layers):
        assert isinstance(layer, DynamicLayer)
        assert layer.keys is not None
        assert layer.values is not None
        keys, values = layer.keys, layer.values
        if rows is not None:
            at = torch.tensor(rows, device=keys.device)
            keys, values = keys[at, :, :columns], values[at, :, :columns]
        fresh.update(keys, values, number)
    return fresh


def left_padded(rows: TokenRows, pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return ids [batch, longest] padded on the left with `pad`, and which are real (bool)."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    real = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    padded = partial(pad_sequence, batch_first=True, padding_side="left")
    return padded(ids, padding_value=pad).to(device), padded(real).to(device)
