"""From a spec file to a `Spec`: keys, types and names are checked here, soundness is not."""

from __future__ import annotations

import os
import re
from typing import cast, get_args

from lpca.gatespec import fields, schema_model
from lpca.gatespec.document import Items, Node, Scalar, SpecError, read_document
from lpca.gatespec.load_gates import read_gates
from lpca.gatespec.model import Evaluation, Score, Spec, TaskSpec

__all__ = ["SpecError", "load_spec"]

_SEED_KEY = re.compile(schema_model.SEED_KEY)
_SEED_RANGE = re.compile(schema_model.SEED_RANGE)


def load_spec(path: str | os.PathLike[str]) -> Spec:
    """Read a spec file.

    Raises:
        SpecError: anything in the file, or the file itself, that is not as it must be; the
            first such place, with what is allowed there.
    """
    root = read_document(path)
    fields.check_keys(root, "the spec", schema_model.SPEC.names)
    version = fields.required(root, "version", "the spec")
    fields.as_integer(version, "version", *schema_model.VERSION)
    task = _task(fields.required(root, "task", "the spec"))
    evaluation = _evaluation(fields.required(root, "evaluation", "the spec"))
    gates = read_gates(fields.required(root, "gates", "the spec"))
    return Spec(os.fspath(path), task, evaluation, gates)


def _task(node: Node) -> TaskSpec:
    section = fields.as_section(node, "task")
    name = fields.as_text(fields.required(section, "name", "task"), "the task's name")
    seed = fields.as_integer(
        fields.required(section, "seed", "task"), "the task's seed", *schema_model.SEED
    )
    settings = {}
    other_seeds = {}
    for key, entry in section.entries.items():
        if _SEED_KEY.fullmatch(key):
            other_seeds[key] = _seeds(entry.value, f"the task's {key}")
        elif key not in schema_model.TASK.names:
            settings[key] = fields.as_setting(entry.value, f"the task's {key}")
    return TaskSpec(name, seed, settings, other_seeds, fields.places(section))


def _seeds(node: Node, what: str) -> tuple[tuple[int, int], ...]:
    """Inclusive ranges of seeds, from `7`, `0..999` or a list of either."""
    if isinstance(node, Items):
        return tuple(pair for item in node.nodes for pair in _seeds(item, what))
    span = _SEED_RANGE.fullmatch(node.text) if isinstance(node, Scalar) else None
    if span:
        low, high = int(span[1]), int(span[2])
        if low <= high:
            return ((low, high),)
    seed = fields.as_integer(node, what, *schema_model.SEED)
    return ((seed, seed),)


def _evaluation(node: Node) -> Evaluation:
    section = fields.as_section(node, "evaluation")
    fields.check_keys(section, "evaluation", schema_model.EVALUATION.names)
    n = fields.as_episodes(fields.required(section, "n", "evaluation"), "n")
    score = fields.optional(section, "score")
    confidence = fields.as_confidence(fields.optional(section, "confidence"))
    confidence = confidence or schema_model.CONFIDENCE.default
    two_sided = fields.as_confidence(fields.optional(section, "equivalence_confidence"))
    checkpoints = fields.optional(section, "checkpoints")
    return Evaluation(
        n=n,
        score=_score(score) if score else schema_model.SCORE.default,
        confidence=confidence,
        equivalence_confidence=two_sided or _same_alpha(confidence),
        checkpoints=(
            fields.as_integer(checkpoints, "checkpoints", *schema_model.CHECKPOINTS_SPAN)
            if checkpoints
            else schema_model.CHECKPOINTS.default
        ),
        places=fields.places(section),
    )


def _same_alpha(confidence: float) -> float:
    """The level at which two one-sided tests spend the alpha of a two-sided interval."""
    return round(2.0 * confidence - 1.0, 12) if confidence > 0.5 else confidence


def _score(node: Node) -> Score:
    return cast(Score, fields.as_choice(node, "score", get_args(Score)))
