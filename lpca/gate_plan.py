"""What measuring a gate takes: its conditions, whether it depends on k, where evidence goes."""

from __future__ import annotations

from pathlib import Path

from lpca.spec.model import Spec

LATENT = ("normal", "null", "random", "shuffle")
"""Conditions that inject k vectors: they need a codec, or at least its k."""


def gate_conditions(spec: Spec, name: str) -> list[str]:
    """Return the conditions of a gate and of those it requires, in a fixed order."""
    gate = spec.gates[name]
    required = [c for other in gate.requires for c in gate_conditions(spec, other)]
    return list(dict.fromkeys([*gate.conditions, *required]))


def needs_codec(spec: Spec, name: str) -> bool:
    """Whether a gate has a condition that injects latents, and so depends on k."""
    return any(condition in LATENT for condition in gate_conditions(spec, name))


def evidence_path(folder: Path, name: str, k: int | None) -> Path:
    """Where a gate's evidence stands."""
    return folder / (f"{name}.json" if k is None else f"{name}-k{k}.json")
