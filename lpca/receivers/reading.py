"""What reading a batch of prompts gives, whichever way it was read: scores, and what B says.

The options' tokens are a tree behind the prompt. What B says is mostly one of them: it is followed
in what is computed already, and generated where it leaves it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from lpca.receivers import TokenRows
from lpca.receivers.attention import KEEP, takes
from lpca.receivers.caches import Cache, rotation_of
from lpca.receivers.model import Receiver
from lpca.tasks import Episode

Decided = Callable[[int, list[int]], bool]
"""Whether a row, of which so much is said, need not go on."""
Pick = Callable[[int, Tensor], int]
"""A row's next token, of its logits [vocabulary]; asked for once for each token it says."""
Step = Callable[[TokenRows, AbstractSet[int]], Tensor]
"""Logits [rows, vocabulary] after each row has said some more tokens. The set tells which rows,
by their place, still go on: of the others anything may come."""
Row = TypeVar("Row")
Spans = tuple[tuple[int, int], ...]
"""Beginnings and ends of stretches of positions, in order."""
HOLE = -1
"""Stands among a slot's ids where a vector is."""
ROOT = 0
"""The node where a prompt ends, of the tree of its options."""
MOST_LOGITS = 2**25
"""A batch has so many logits at once, at most: 128 MiB in float32. One prompt may have more."""


@dataclass(frozen=True, eq=False)
class Slot:
    """What stands in a prompt's slot: token ids, vectors [k, d_model], a cache, or nothing.

    Where a prompt has several slots, all that stands from the first to the last: see `of_several`.

    Attributes:
        ids: token ids; HOLE in the place of a vector, where there are texts beside vectors.
        vectors: [k, d_model]; of several packets, one behind the other.
        packets: of several packets, where each begins and ends in `ids`.
        cache: keys and values by layer, stored as `lpca.receivers.caches` says.
    """

    ids: tuple[int, ...] = ()
    vectors: Tensor | None = None
    packets: Spans = ()
    cache: Cache = field(default_factory=dict)

    def __len__(self) -> int:
        return self.spans[-1][1]

    @property
    def spans(self) -> Spans:
        """Where each packet begins and ends; one packet is all of it."""
        if self.packets:
            return self.packets
        for keys, _ in self.cache.values():
            return ((0, int(keys.shape[1])),)
        return ((0, len(self.ids) if self.vectors is None else int(self.vectors.shape[0])),)

    @property
    def parts(self) -> list[Slot]:
        """What stands in each slot, as `of_several` was given it."""
        if not self.packets:
            return [self]
        if self.vectors is None:
            return [Slot(self.ids[start:stop]) for start, stop in self.packets]
        lengths = [stop - start for start, stop in self.packets]
        return [Slot(vectors=own) for own in torch.split(self.vectors, lengths)]

    def holding(self, vectors: Tensor) -> Slot:
        """The same places with other vectors in all packets, one behind the other."""
        ids = list(self.ids) if self.packets else []
        for start, stop in self.packets:
            ids[start:stop] = [HOLE] * (stop - start)
        return Slot(tuple(ids), vectors, self.packets)

    @classmethod
    def of_several(cls, packets: Sequence[Slot], between: TokenRows) -> Slot:
        """Compose what stands in a prompt from its first slot to its last one.

        Args:
            packets: what stands in each slot, in the order of their places.
            between: token ids of the texts between them, one fewer.

        Raises:
            ValueError: tokens in one slot and vectors in another, or a cache in one of several.

        Example:
            >>> both = Slot.of_several([Slot(ids=(7, 8)), Slot(ids=(9,))], [[5]])
            >>> both.ids, both.packets
            ((7, 8, 5, 9), ((0, 2), (3, 4)))
        """
        if len(packets) == 1:
            return packets[0]
        if any(packet.cache for packet in packets):
            raise ValueError("a prompt of several slots holds tokens or vectors, and no caches")
        vectors = [packet.vectors for packet in packets if packet.vectors is not None]
        if len(vectors) not in (0, len(packets)):
            raise ValueError("a prompt's slots hold tokens or vectors, not both")
        ids: list[int] = []
        spans = []
        for packet, text in zip(packets, (*between, ()), strict=True):
            start = len(ids)
            ids += [HOLE] * len(packet) if vectors else packet.ids
            spans.append((start, len(ids)))
            ids += text
        return cls(tuple(ids), torch.cat(vectors) if vectors else None, tuple(spans))

    @property
    def kind(self) -> str:
        """Which way it goes into a prompt: "tokens", "vectors" or "cache"."""
        if self.cache:
            return "cache"
        return "tokens" if self.vectors is None else "vectors"


@dataclass(frozen=True)
class Tile:
    """The least that a batch takes up, so that all batches of a run can be of one shape.

    How a kernel rounds depends on the shape it is given, not on what else is in the batch.

    Attributes:
        rows: prompts.
        before: columns up to the slots.
        behind: columns of the slots and of what follows them.
        narrow: the same where slots hold no more than a packet does; 0 where they may.
        nodes: columns of the options' trees.
        said: columns of what is said before it is generated token by token.
    """

    rows: int = 0
    before: int = 0
    behind: int = 0
    narrow: int = 0
    nodes: int = 0
    said: int = 0

    def filled(self, rows: Sequence[Row]) -> list[Row]:
        """The rows, the last of them again until there are as many as the tile has."""
        return [*rows, *[rows[-1]] * (self.rows - len(rows))]


FREE = Tile()
"""A batch takes up what its own rows need."""


def rows_at_once(receiver: Receiver, kept: int, columns: int) -> int:
    """How many prompts a batch may hold, at most, so that its logits fit: they grow by vocabulary.

    Args:
        receiver: the frozen model.
        kept: at how many positions of each prompt logits are wanted.
        columns: how many of each prompt a pass computes; a model that knows no better gives the
            logits at all of them.
    """
    positions = kept if takes(type(receiver.model).forward, KEEP) else columns
    return max(1, MOST_LOGITS // (positions * receiver.embedding.num_embeddings))


class Context(ABC):
    """A batch of prompts read up to their slots."""

    receiver: Receiver

    def tiled(self, tile: Tile) -> Context:
        """The same, read on in batches that take up a tile; here they take what they need."""
        return self

    @abstractmethod
    def read(
        self, slots: Sequence[Slot], afters: TokenRows, options: Sequence[TokenRows] | None = None
    ) -> Reading:
        """Read on through each row's slot, the text after it and its options.

        Args:
            slots: what stands in each row's slot. Tokens go in as token ids, vectors as
                embeddings, caches behind what was computed: three paths, so that injecting a
                message's own embeddings, or keys and values, tests the injection.
            afters: token ids of the text behind each slot.
            options: token ids of each row's options.

        Raises:
            ValueError: slots of several kinds in one batch, which takes one path.
            RequestError: caches with no text behind them, or none that this receiver can hold.
        """

    @abstractmethod
    def continuation_logits(self, slots: Sequence[Slot], afters: TokenRows, keep: int) -> Tensor:
        """Float32 logits [batch, keep, vocabulary] at the last `keep` positions of each row.

        Gradients reach the slots' vectors.
        """


def refuse_untried(
    receiver: Receiver, befores: Sequence[int], slots: Sequence[Slot], afters: TokenRows, more: int
) -> None:
    """Refuse rows that cross a length at which the receiver is not known to be read exactly.

    Args:
        receiver: the frozen model.
        befores: how many tokens stand before the slots.
        slots: what stands in them.
        afters: what stands behind them.
        more: how many tokens may follow.

    Raises:
        RequestError: a row does.
    """
    rows = zip(befores, slots, afters, strict=True)
    longest = max(before + len(slot) + len(after) for before, slot, after in rows)
    receiver.proof.refuse(receiver.name, longest + more)


class Prompts(ABC):
    """A batch of prompts read to their ends."""

    @abstractmethod
    def onward(self, rows: list[int]) -> Step:
        """Go on from the ends of some of its rows."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A batch of prompts read to their ends, and on through the trees of their options.

    `at` [batch, 1 + nodes, vocabulary] are logits at ROOT and at each node, in the model's type;
    what is read off them is float32. `prompts` are those that it goes on from. `pick` says which
    token comes next; None: the most probable.
    """

    receiver: Receiver
    at: Tensor
    trees: tuple[OptionTree, ...]
    prompts: Prompts
    pick: Pick | None = None

    @property
    def logits(self) -> Tensor:
        """Float32 logits [batch, vocabulary] at the prompts' ends."""
        return self.at[:, ROOT].float()

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
        steps = (self.at[rows, nodes, tokens].float() - self._normaliser[rows, nodes]).tolist()
        following = iter(steps)
        return [[sum(next(following) for _ in option) for option in row] for row in options]

    @cached_property
    def _normaliser(self) -> Tensor:
        # row by row: of a large vocabulary the exponentials take as much as the logits themselves
        return torch.stack([row.float().logsumexp(-1) for row in self.at])

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
            token = self.pick(i, self.at[i, node].float()) if self.pick else self._best[i][node]
            if not says(i, token):
                return False
            node = self.trees[i].child(node, token)
        return True

    def _generate(
        self, rows: list[int], said: list[list[int]], says: Callable[[int, int], bool]
    ) -> None:
        """Go on where each of these rows left its tree, all of them step by step."""
        step, still = self.prompts.onward(rows), set(rows)
        new: TokenRows = [said[i] for i in rows]
        while True:
            logits = step(new, {place for place, i in enumerate(rows) if i in still})
            tokens = self._picked(rows, still, logits)
            still = {
                i for i, token in zip(rows, tokens, strict=True) if i in still and says(i, token)
            }
            if not still:
                return
            new = [[token] for token in tokens]

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

    def branches(self) -> list[list[int]]:
        """Return the nodes, ROOT left out, on the way to each node that none stands behind."""
        parents = set(self.parents)
        branches = []
        for leaf in range(1, len(self) + 1):
            if leaf not in parents:
                branch = [leaf]
                while (parent := self.parents[branch[-1] - 1]) != ROOT:
                    branch.append(parent)
                branches.append(branch[::-1])
        return branches

    @property
    def depth(self) -> int:
        """How many tokens stand one behind another at most."""
        return 1 + max(self.depths(), default=-1)

    def depths(self) -> list[int]:
        """Return how far each node stands behind the prompt's end; 0 directly behind it."""
        depths = [-1]
        for parent in self.parents:
            depths.append(depths[parent] + 1)
        return depths[1:]


def left_padded(
    rows: TokenRows, pad: int, device: torch.device, least: int = 0
) -> tuple[Tensor, Tensor]:
    """Return ids [batch, columns] padded on the left with `pad`, and which are real (bool).

    There are as many columns as the longest row has, and `least` at least.
    """
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    real = [torch.ones(len(row), dtype=torch.bool) for row in rows]
    padded = partial(pad_sequence, batch_first=True, padding_side="left")
    found = padded(ids, padding_value=pad), padded(real)
    more = max(0, least - found[0].shape[1])
    wide = [nn.functional.pad(x, (more, 0), value=v) for x, v in zip(found, (pad, 0), strict=True)]
    return wide[0].to(device), wide[1].to(device)


def injected(
    receiver: Receiver,
    befores: TokenRows,
    slots: Sequence[Slot],
    afters: TokenRows,
    least: int = 0,
) -> tuple[dict[str, Tensor], Tensor]:
    """The model's inputs [batch, n] or [batch, n, d_model], padded on the left; which are real.

    n is `least` at least.

    Raises:
        ValueError: slots of several kinds in one batch, which takes one path.
        RequestError: slots of caches, which this way of reading has no place for.
    """
    if len({slot.kind for slot in slots}) != 1:
        raise ValueError("a batch holds slots of tokens, of vectors or of caches, not both")
    if slots[0].cache:
        # of a receiver read row by row: it says why not
        rotation_of(receiver)
        raise ValueError("caches stand behind what was computed, and not among a row's inputs")
    pads = [_with_pads(receiver, slot) for slot in slots]
    rows = [[*b, *slot, *a] for b, slot, a in zip(befores, pads, afters, strict=True)]
    ids, real = left_padded(rows, receiver.pad_id, receiver.device, least)
    if slots[0].vectors is None:
        return {"input_ids": ids}, real
    embeddings = receiver.embedding(ids).clone()
    starts = (~real).sum(1).tolist()
    for i, (before, slot) in enumerate(zip(befores, slots, strict=True)):
        if slot.vectors is not None:
            own, start = slot.vectors.to(embeddings), starts[i] + len(before)
            for first, last in slot.spans:
                embeddings[i, start + first : start + last] = own[: last - first]
                own = own[last - first :]
    return {"inputs_embeds": embeddings}, real


def in_slots(receiver: Receiver, episode: Episode, packets: Sequence[Slot]) -> Slot:
    """Compose what stands in an episode's prompt from its first slot to its last one.

    Args:
        receiver: whose tokens the texts between slots are.
        episode: the problem.
        packets: what stands in each slot, in the order of their places.

    Raises:
        ValueError: tokens in one slot and vectors in another.
    """
    return Slot.of_several(packets, receiver.between_ids(episode))


def _with_pads(receiver: Receiver, slot: Slot) -> Sequence[int]:
    """A slot's ids, padding where vectors will stand."""
    if slot.vectors is None:
        return slot.ids
    ids = slot.ids if slot.packets else [HOLE] * len(slot)
    return [receiver.pad_id if token == HOLE else token for token in ids]
