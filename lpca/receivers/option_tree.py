"""A prompt's options as a tree of tokens: what they begin with alike stands in it once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

ROOT = 0
"""The node where a prompt ends."""


@dataclass(frozen=True)
class Tree:
    """Nodes behind a prompt's end, parents first; ROOT is the end itself.

    Node n > 0 holds `tokens[n - 1]` behind `parents[n - 1]`. An option's last token is no node:
    it is read off where the one before it stands.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict)

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

    def grow(self, option: Sequence[int]) -> None:
        """Add the nodes of an option's tokens but its last."""
        node = ROOT
        for token in option[:-1]:
            if (node, token) not in self._children:
                self.tokens.append(token)
                self.parents.append(node)
                self._children[node, token] = len(self.tokens)
            node = self._children[node, token]


def tree_of(options: Sequence[Sequence[int]]) -> Tree:
    """Return the tree of one prompt's options, each a sequence of token ids."""
    tree = Tree()
    for option in options:
        tree.grow(option)
    return tree


def tree_columns(trees: Sequence[Tree], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lay trees side by side in as many columns as the largest needs.

    Returns:
        ids [batch, width], filled up with `pad`; depths [batch, width], 0 where none is; and bool
        [batch, width, width]: whether a column's node stands behind another's, or is it.
    """
    width = max(map(len, trees))
    ids = torch.full((len(trees), width), pad, dtype=torch.long)
    depths = torch.zeros((len(trees), width), dtype=torch.long)
    behind = torch.eye(width, dtype=torch.bool).repeat(len(trees), 1, 1)
    for i, tree in enumerate(trees):
        if len(tree):
            ids[i, : len(tree)] = torch.tensor(tree.tokens)
            depths[i, : len(tree)] = torch.tensor(tree.depths())
        for column, parent in enumerate(tree.parents):
            if parent != ROOT:
                behind[i, column] |= behind[i, parent - 1]
    return ids, depths, behind
