"""What measuring a gate takes: its conditions, whether it depends on k, where evidence goes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lpca.base.errors import RequestError
from lpca.checker.check import check_spec, has_errors
from lpca.gatespec.load import load_spec
from lpca.gatespec.model import LATENT, Gate, Spec
from lpca.tasks import task_of

EVIDENCE, LEDGER = ".lpca/evidence", ".lpca/ledger"
"""Where a project keeps them, unless the run says otherwise."""
DEFAULT_K = 4


def sound_spec(path: str | os.PathLike[str]) -> Spec:
    """Load a spec that may be run; SpecError where it cannot be, RequestError with every fault."""
    spec = load_spec(path)
    task_of(spec)
    findings = check_spec(spec)
    if has_errors(findings):
        raise RequestError("\n".join(map(str, findings)))
    return spec


def gate_conditions(spec: Spec, name: str) -> list[str]:
    """Return the conditions of a gate and of those it requires, in a fixed order."""
    waiting, reached = [name], dict[str, None]()
    while waiting:
        other = waiting.pop()
        if other not in reached:
            reached[other] = None
            waiting += reversed(spec.gates[other].requires)
    return list(dict.fromkeys(c for other in reached for c in spec.gates[other].conditions))


def needs_codec(spec: Spec, name: str) -> bool:
    """Whether a gate has a condition that injects latents, and so depends on k."""
    return any(condition in LATENT for condition in gate_conditions(spec, name))


def needs_control(spec: Spec, name: str) -> bool:
    """Whether a gate needs the trained prefix that ignores messages."""
    return "static" in gate_conditions(spec, name)


def ks_of(gate: Gate, asked: Sequence[int]) -> Sequence[int]:
    """Return the k a gate runs at: those asked for, else all that it declares, else 4."""
    return asked or gate.family or (DEFAULT_K,)


def declares(gate: Gate, k: int | None) -> bool:
    """Whether a gate may run at a k: at any, unless it declares its own."""
    return k is None or not gate.family or k in gate.family


def beside(spec: Spec, gate: Gate, k: int | None) -> list[tuple[str, int | None]]:
    """Return the gates shown beside one that runs at a k, each with its own k."""
    found = [(name, k if needs_codec(spec, name) else None) for name in gate.shown_with]
    return [(name, at) for name, at in found if declares(spec.gates[name], at)]


def label_of(gate: str, k: int | None) -> str:
    """A gate at its k, for people."""
    return gate if k is None else f"{gate} k={k}"


def evidence_path(folder: Path, name: str, k: int | None) -> Path:
    """Where a gate's evidence stands."""
    return folder / (f"{name}.json" if k is None else f"{name}-k{k}.json")
