"""The tests that a spec becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from lpca.gate.plan import ks_of, label_of, needs_codec
from lpca.gatespec.model import Spec
from lpca.validity.catalogue import CHECKS

Kind = Literal["criterion", "check"]
FIXTURES: Mapping[str, Kind] = {"criterion": "criterion", "leak_check": "check"}
"""By the fixture that gives a test its case, of which kind the case is."""
PROPERTY = "lpca"
"""The user property of a test report that says which gate's case it is, as `label_of` has it."""


@dataclass(frozen=True)
class Case:
    """One test made from the spec: a criterion or a validity check of a gate at one k."""

    gate: str
    kind: Kind
    name: str
    k: int | None

    @property
    def key(self) -> tuple[str, int | None]:
        """Its gate and k."""
        return self.gate, self.k

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


def cases(spec: Spec, ks: Sequence[int], kind: Kind) -> list[Case]:
    """Return every case of a kind, in the order of the spec; `ks` as for `ks_of`."""
    found = []
    for name, gate in spec.gates.items():
        own = list(CHECKS) if kind == "check" else [one.id for one in gate.criteria]
        for k in ks_of(gate, ks) if needs_codec(spec, name) else [None]:
            found += [Case(name, kind, what, k) for what in own]
    return found
