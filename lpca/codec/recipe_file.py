"""Recipes in YAML: what is wrong is named with its file and line."""

from __future__ import annotations

import os
from typing import Any

from lpca.codec.recipe import Recipe, RecipeError, read_recipe
from lpca.gatespec.document import Items, Node, Scalar, Section, SpecError, read_document
from lpca.gatespec.kinds import Setting
from lpca.gatespec.model import Position


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe's file; SpecError, with its place, for anything that is not as it must be."""
    return recipe_of(read_document(path))


def recipe_of(node: Node) -> Recipe:
    """Read a recipe from a part of a YAML document; SpecError as in `load_recipe`."""
    try:
        return read_recipe(plain(node), "recipe")
    except RecipeError as error:
        raise SpecError(_position(node, error.keys), str(error)) from None


def plain(node: Node) -> Any:
    """Turn located nodes into dicts, lists, numbers, booleans and texts."""
    if isinstance(node, Section):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Items):
        return [plain(item) for item in node.nodes]
    return Setting().read(node, "a value")


def _position(node: Node, keys: tuple[str | int, ...]) -> Position:
    """Where the value stands to which keys lead, as far as they lead anywhere."""
    for key in keys:
        if isinstance(node, Section) and key in node.entries:
            node = node.entries[str(key)].value
        elif isinstance(node, Items) and isinstance(key, int):
            node = node.nodes[key]
        elif isinstance(node, Scalar):
            break
    return node.position
