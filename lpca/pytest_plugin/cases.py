"""The tests that a spec becomes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from lpca.gate.plan import ks_of, label_of, needs_codec
from lpca.gatespec.model import Spec
from lpca.gatespec.schema_model import MAX_K
from lpca.validity.catalogue import CHECKS

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_CODEC = re.compile(rf"({_DOTTED}):({_DOTTED})")
MAX_SEED = 2**63 - 1
"""The largest seed that every generator takes."""
PROPERTY = "lpca"
"""The user property of a test report that says which gate's case it is, as `label_of` has it."""


@dataclass(frozen=True)
class Case:
    """One test made from the spec: a criterion or a validity check of a gate at one k."""

    gate: str
    kind: Literal["criterion", "check"]
    name: str
    k: int | None

    @property
    def id(self) -> str:
        """A readable id that stays the same from run to run."""
        return f"{self.gate}-{self.name}" + ("" if self.k is None else f"-k{self.k}")

    @property
    def properties(self) -> list[tuple[str, str]]:
        """As plain data, to travel with a test report and to stand in JUnit XML."""
        k = [] if self.k is None else [("k", str(self.k))]
        label = label_of(self.gate, self.k)
        return [(PROPERTY, label), ("gate", self.gate), *k, (self.kind, self.name)]


def key_of(label: str) -> tuple[str, int | None]:
    """The gate and k of a label."""
    gate, _, k = label.partition(" k=")
    return gate, int(k) if k else None


def case_of(item: pytest.Item) -> Case | None:
    """Return the case that a test was made from, if it was."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return next((value for value in params.values() if isinstance(value, Case)), None)


def cases(spec: Spec, ks: Sequence[int], kind: Literal["criterion", "check"]) -> list[Case]:
    """Return every case of a kind, in the order of the spec; `ks` as for `ks_of`."""
    found = []
    for name, gate in spec.gates.items():
        own = [one.id for one in (CHECKS if kind == "check" else gate.criteria)]
        for k in ks_of(gate, ks) if needs_codec(spec, name) else [None]:
            found += [Case(name, kind, what, k) for what in own]
    return found


def parse_ks(text: str) -> tuple[int, ...]:
    """Read `--k`: whole numbers from 1 to MAX_K, separated by commas; ValueError otherwise."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 10 and 1 <= int(part) <= MAX_K for part in parts):
        raise ValueError(
            f"--k {text[:40]}: allowed: whole numbers from 1 to {MAX_K}, as in --k 4,8"
        )
    return tuple(dict.fromkeys(int(part) for part in parts))


def parse_seed(option: str, seed: int) -> int:
    """Return a training seed that can be one; ValueError otherwise."""
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"{option} {seed}: allowed: whole numbers from 0 to {MAX_SEED}")
    return seed


def parse_codec(text: str) -> tuple[str, str]:
    """Read `--codec` into a module's name and that of a factory in it; ValueError otherwise."""
    found = _CODEC.fullmatch(text)
    if found is None:
        raise ValueError(
            f"--codec {text[:80]}: allowed: package.module:factory, as in --codec my_codec:make"
        )
    return found[1], found[2]
