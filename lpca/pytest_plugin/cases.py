"""The tests that a spec becomes; and what a run asks for, held against what is there."""

from __future__ import annotations

import argparse
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from lpca.base.arguments import AUTO, RECEIVER
from lpca.base.errors import RequestError
from lpca.base.hashing import hash_data
from lpca.base.named_code import refuse_missing
from lpca.base.registry import suggestion
from lpca.gate.plan import GateKey, declares, ks_of, label_of, needs_codec
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


_MARK = re.compile(r"[^\s()]+")


_OPERATORS = {"and", "or", "not", "True", "False", "None"}


def refuse_absent(option: argparse.Namespace, folders: Sequence[Path]) -> None:
    """Refuse a codec, receiver or device that is not there, in a second and without any model.

    Args:
        option: the run's options.
        folders: from where a codec is importable.

    Raises:
        RequestError: naming the option, and the nearest that there is.
    """
    if option.codec is not None:
        refuse_missing(option.codec, folders)
    if option.receiver != RECEIVER:  # that one is fetched where it is not there
        from lpca.receivers.sources import source_of

        source_of(option.receiver)
    if option.device in ("cuda", "mps"):
        import torch

        present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
        if not present[option.device]:
            here = ", ".join(["cpu", *(name for name, is_there in present.items() if is_there)])
            raise RequestError(
                f"--device {option.device}: not available here; available: {here}, {AUTO}"
            )


def refuse_unknown_marks(expression: str, known: Collection[str], spec: Spec) -> None:
    """Refuse a `-m` that names what is no marker: a gate that does not exist selects nothing.

    Raises:
        pytest.UsageError: with the gates that there are.
    """
    names = dict.fromkeys(_MARK.findall(expression or ""))
    # an expression with arguments of a marker is pytest's to read
    if any(sign in expression for sign in ("=", ",", '"', "'")):
        return
    for name in names:
        if name not in known and name not in _OPERATORS:
            hint = suggestion(name, spec.gates).replace("allowed", f"gates of {spec.file}", 1)
            raise pytest.UsageError(f"-m {expression}: there is no gate {name!r}; {hint}")


def refuse_undeclared(spec: Spec, keys: Iterable[GateKey]) -> None:
    """Refuse a `--k` that a gate of the run does not declare.

    Raises:
        pytest.UsageError: naming the gate, and the k that it declares.
    """
    for name, k, _ in dict.fromkeys(keys):
        gate = spec.gates[name]
        if not declares(gate, k):
            allowed = ", ".join(map(str, gate.family))
            raise pytest.UsageError(f"--k {k}: gate {name} does not declare it; allowed: {allowed}")


def is_first(folder: Path, *causes: str) -> bool:
    """Whether none of some causes was said before, by any process of the run; they are now.

    Args:
        folder: of this run alone.
        causes: what keeps a gate from being measured, and the gate.
    """
    place = folder / "causes"
    with suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
    claimed = [_claimed(place / hash_data(cause)[:32]) for cause in causes]
    return all(claimed)


def _claimed(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True  # better twice than not at all
    return True
