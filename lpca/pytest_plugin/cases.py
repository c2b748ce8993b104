"""The tests that a spec becomes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from lpca.gate.plan import GateKey, ks_of, label_of, needs_codec
from lpca.gatespec.model import Spec
from lpca.validity.catalogue import CHECKS

Kind = Literal["criterion", "check"]
FIXTURES: Mapping[str, Kind] = {"criterion": "criterion", "leak_check": "check"}
"""By the fixture that gives a test its case, of which kind the case is."""
PROPERTY = "lpca"
"""The user property of a test report that says which gate's case it is, as `label_of` has it."""


@dataclass(frozen=True)
class Case:
    """One test made from the spec: a criterion or a validity check of a gate at one k and seed."""

    gate: str
    kind: Kind
    name: str
    k: int | None
    seed: int | None = None

    @property
    def key(self) -> GateKey:
        """Its gate, k and training seed."""
        return GateKey(self.gate, self.k, self.seed)

    @property
    def id(self) -> str:
        """A readable id that stays the same from run to run."""
        parts = {"k": self.k, "seed": self.seed}
        told = [f"{name}{value}" for name, value in parts.items() if value is not None]
        return "-".join([self.gate, self.name, *told])

    @property
    def properties(self) -> list[tuple[str, str]]:
        """As plain data, to travel with a test report and to stand in JUnit XML."""
        parts = {"k": self.k, "train_seed": self.seed}
        told = [(name, str(value)) for name, value in parts.items() if value is not None]
        label = label_of(*self.key)
        return [(PROPERTY, label), ("gate", self.gate), *told, (self.kind, self.name)]


def key_of(label: str) -> GateKey:
    """The gate, k and seed of a label."""
    named, _, seed = label.partition(" seed=")
    gate, _, k = named.partition(" k=")
    return GateKey(gate, int(k) if k else None, int(seed) if seed else None)


def case_of(item: pytest.Item) -> Case | None:
    """Return the case that a test was made from, if it was."""
    params = getattr(getattr(item, "callspec", None), "params", {})
    return next((value for value in params.values() if isinstance(value, Case)), None)


def keys_of(tests: Iterable[str], found: Iterable[Case]) -> dict[str, GateKey]:
    """The gate that each test of a case is about, by the test's id: all that a worker tells."""
    keys = {f"-{case.id}-": case.key for case in found}
    longest_first = sorted(keys, key=len, reverse=True)
    told = dict[str, GateKey]()
    for test in tests:
        _, _, last = test.rpartition("::")
        parameters = f"-{last.partition('[')[2].rpartition(']')[0]}-"
        name = next((name for name in longest_first if name in parameters), None)
        if name is not None:
            told[test] = keys[name]
    return told


def cases(spec: Spec, ks: Sequence[int], kind: Kind, seeds: Sequence[int] = ()) -> list[Case]:
    """Return every case of a kind, in the order of the spec; `ks` as for `ks_of`.

    A gate that needs a codec is judged once for each of the training `seeds`.
    """
    found = []
    for name, gate in spec.gates.items():
        own = list(CHECKS) if kind == "check" else [one.id for one in gate.criteria]
        if not needs_codec(spec, name):
            found += [Case(name, kind, what, None) for what in own]
            continue
        for k in ks_of(gate, ks):
            for seed in seeds or (None,):
                found += [Case(name, kind, what, k, seed) for what in own]
    return found
