"""Families of problems whose answers are free text, read by a verifier."""

from __future__ import annotations

from lpca.tasks.families.base import Family, FreeEpisode, Puzzle
from lpca.tasks.families.constraints import Constraints

__all__ = ["FAMILIES", "Family", "FreeEpisode", "Puzzle", "family_named"]

FAMILIES: dict[str, type[Family]] = {Constraints.name: Constraints}


def family_named(name: str) -> Family:
    """Return the family of a name; KeyError on an unknown one."""
    return FAMILIES[name]()
