"""Families of problems whose answers are free text, read by a verifier."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lpca.tasks.families.arithmetic import Arithmetic
from lpca.tasks.families.base import Family, FreeEpisode, Puzzle
from lpca.tasks.families.constraints import Constraints
from lpca.tasks.families.programs import Programs

__all__ = ["FAMILIES", "Family", "FreeEpisode", "Puzzle", "family_named"]

FAMILIES: Mapping[str, type[Family]] = MappingProxyType(
    {family.name: family for family in (Constraints, Arithmetic, Programs)}
)


def family_named(name: str) -> Family:
    """Return the family of a name; KeyError on an unknown one."""
    return FAMILIES[name]()
