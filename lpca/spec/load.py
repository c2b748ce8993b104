"""From a spec file to a `Spec`: keys, types and names are checked here, soundness is not."""

from __future__ import annotations

import os
from typing import cast

from lpca.spec import fields
from lpca.spec.document import Node, Section, SpecError, read_document
from lpca.spec.load_gates import read_gates
from lpca.spec.model import Evaluation, Score, Spec, TaskSpec

__all__ = ["SpecError", "load_spec"]

_ROOT_KEYS = ("version", "task", "evaluation", "gates")
_EVALUATION_KEYS = ("n", "score", "confidence", "equivalence_confidence")


def load_spec(path: str | os.PathLike[str]) -> Spec:
    """Read a spec file.

    Raises:
        SpecError: anything in the file, or the file itself, that is not as it must be; the
            first such place, with what is allowed there.
    """
    root = read_document(path)
    fields.check_keys(root, "the spec", _ROOT_KEYS)
    fields.as_integer(fields.required(root, "version", "the spec"), "version", 1, 1)
    task = _task(fields.required(root, "task", "the spec"))
    evaluation = _evaluation(fields.required(root, "evaluation", "the spec"))
    gates = read_gates(fields.required(root, "gates", "the spec"))
    return Spec(os.fspath(path), task, evaluation, gates)


def _task(node: Node) -> TaskSpec:
    section = fields.as_section(node, "task")
    name = fields.as_text(fields.required(section, "name", "task"), "the task's name")
    seed = fields.as_integer(fields.required(section, "seed", "task"), "the task's seed", 0)
    settings = {
        key: fields.as_setting(entry.value, f"the task's {key}")
        for key, entry in section.entries.items()
        if key not in ("name", "seed")
    }
    return TaskSpec(name, seed, settings)


def _evaluation(node: Node) -> Evaluation:
    section = fields.as_section(node, "evaluation")
    fields.check_keys(section, "evaluation", _EVALUATION_KEYS)
    n = fields.as_integer(fields.required(section, "n", "evaluation"), "n", 1)
    score = fields.optional(section, "score")
    return Evaluation(
        n=n,
        score=_score(score) if score else "likelihood",
        confidence=_confidence(section, "confidence", 0.95),
        equivalence_confidence=_confidence(section, "equivalence_confidence", 0.90),
    )


def _score(node: Node) -> Score:
    return cast(Score, fields.as_choice(node, "score", ("likelihood", "greedy")))


def _confidence(section: Section, key: str, default: float) -> float:
    node = fields.optional(section, key)
    return default if node is None else fields.as_number(node, key, 0.0, 1.0, open_ends=True)
