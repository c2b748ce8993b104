"""From a spec file to a `Spec`: keys, types and names are checked here, soundness is not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from lpca.gatespec.document import Scalar, Section, SpecError, parse_document, read_text
from lpca.gatespec.keys import SPEC
from lpca.gatespec.model import (
    MESSAGE_LATENTS,
    PLAIN,
    Cluster,
    Criterion,
    Evaluation,
    Gate,
    Prompt,
    Sequential,
    SequentialRule,
    Spec,
    Sweep,
    TaskSpec,
)
from lpca.gatespec.sections import Values
from lpca.gatespec.values import DRAWN

__all__ = ["SpecError", "load_spec", "parse_spec"]


def load_spec(path: str | os.PathLike[str]) -> Spec:
    """Read a spec file.

    Args:
        path: a YAML file as `docs/spec-reference.md` says; nothing else is opened.

    Returns:
        The typed spec; each of its parts knows where in the file it stands.

    Raises:
        SpecError: anything in the file, or the file itself, that is not as it must be; the
            first such place, with what is allowed there.

    Example:
        >>> spec = load_spec("gate_specs.yaml")
        >>> [criterion.id for criterion in spec.gates["gate0"].criteria]
        ['p0_in_band', 'p1_above_p0']
    """
    name = os.fspath(path)
    text, sha256 = read_text(name)
    return _spec(parse_document(text, name), name, sha256)


def parse_spec(text: str, name: str = "gate_specs.yaml") -> Spec:
    """Read the text of a spec file of that name, as `load_spec` does."""
    sha256 = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return _spec(parse_document(text, name), name, sha256)


def _spec(document: Section, file: str, sha256: str) -> Spec:
    root = SPEC.read(document, "the spec")
    task, named = root["task"], root["gates"]
    drawn = task["seed"] == DRAWN
    gates = {name: _gate(name, named, given) for name, given in named.others.items()}
    for gate in gates.values():  # only now: a gate may require one that stands below it
        _refuse_cycle(gate, gates)
    return Spec(
        file,
        TaskSpec(
            **{**task.fixed, "seed": 0 if drawn else task["seed"]},
            drawn=drawn,
            settings=_settings(task),
            # seeds are read as ranges: nothing else that a task is handed is a tuple
            other_seeds={key: held for key, held in task.others.items() if isinstance(held, tuple)},
            places=task.places,
        ),
        _evaluation(root["evaluation"]),
        gates,
        sha256,
        _prompt(root["prompt"]),
    )


def _settings(task: Values) -> dict[str, Any]:
    """What a task is handed; of a mapping each key, behind its own and a point."""
    found: dict[str, Any] = {}
    for key, held in task.others.items():
        if isinstance(held, Values):
            found |= {f"{key}.{name}": inner for name, inner in held.others.items()}
        elif not isinstance(held, tuple):
            found[key] = held
    return found


def _evaluation(given: Values) -> Evaluation:
    confidence, two_sided = given["confidence"], given["equivalence_confidence"]
    if two_sided is None:
        # two one-sided tests are to spend the alpha of a two-sided interval
        two_sided = round(2.0 * confidence - 1.0, 12) if confidence > 0.5 else confidence
    found = Evaluation(**{**given.fixed, "equivalence_confidence": two_sided}, places=given.places)
    _refuse_unexplained(found.cluster, found.why, given, "the evaluation")
    if found.normalised != "none" and found.score != "likelihood":
        raise SpecError(
            given.places["normalised"],
            f"normalised is {found.normalised!r} beside score {found.score!r}; allowed: none, or "
            "score: likelihood",
        )
    if found.repeats > 1 and found.temperature is None:
        raise SpecError(
            given.places["repeats"],
            f"repeats is {str(found.repeats)!r} without a temperature, so that all would be alike; "
            "allowed: 1, or a temperature: NUMBER beside it",
        )
    return found


def _prompt(given: Values | None) -> Prompt:
    if given is None:
        return PLAIN
    chat, join = given["template"] == "chat", given["join"]
    if given["system"] and not chat:
        raise SpecError(
            given.places["system"],
            "prompt has a system text without a chat template; allowed: template: chat beside it",
        )
    joints = {"message": " ", "answer": "" if chat else " ", **_stated(join)}
    return Prompt(
        given["template"],
        given["system"],
        join_message=joints["message"],
        join_answer=joints["answer"],
        places=given.places,
    )


def _refuse_unexplained(cluster: Cluster | None, why: str, given: Values, what: str) -> None:
    """Raise SpecError where episodes are to count one by one for no reason that is given."""
    if cluster == "none" and not why:
        raise SpecError(
            given.places["cluster"],
            f"{what} has cluster 'none' without a why; allowed: group, or a why: TEXT beside it",
        )


def _gate(name: str, gates: Values, given: Values) -> Gate:
    held = dict(given.fixed)
    family, expect, controls = held.pop("k"), held.pop("expect"), held.pop("controls")
    held["shown_with"] = held.pop("beside")
    any_k = isinstance(family, Values) and bool(family["any"])
    if any_k and held["sequential"]:
        raise SpecError(
            given.places["sequential"],
            f"gate {name} stops early and takes any of several k, whose p-values need a fixed n; "
            "allowed: sequential, or k: {any: ...}",
        )
    if held["max_bits"] is not None and not MESSAGE_LATENTS.among(held["conditions"]):
        raise SpecError(
            given.places["max_bits"],
            f"gate {name} has max_bits and runs no condition in which a message's packet crosses; "
            f"allowed: without max_bits, or one of {', '.join(MESSAGE_LATENTS)} beside it",
        )
    rates = _stated(expect)
    return Gate(
        **{
            **held,
            "title": held["title"] or name,
            "criteria": tuple(map(_criterion, held["criteria"])),
            "sequential": _sequential(held["sequential"]),
            "best_of": _sweep(held["best_of"]),
        },
        name=name,
        position=gates.section.entries[name].key.position,
        correlation=rates.pop("correlation", 0.0),
        icc=rates.pop("icc", 0.0),
        expect=rates,
        family=family["any"] or family["all"] if isinstance(family, Values) else family,
        any_k=any_k,
        controls=_stated(controls),
        places=given.places,
    )


def _stated(given: Values | None) -> dict[str, Any]:
    """The keys that stand in the file, in its order."""
    return {key: given[key] for key in given.section.entries} if given else {}


def _criterion(given: Values) -> Criterion:
    claim = given.section.entries["claim"].value
    assert isinstance(claim, Scalar)
    expect = given["expect"]
    held = {key: value for key, value in given.fixed.items() if key != "expect"}
    _refuse_unexplained(held["cluster"], held["why"], given, f"criterion {held['id']}")
    return Criterion(
        **{**held, "best_of": _sweep(held["best_of"])},
        text=claim.text,
        position=claim.position,
        expect_discordant=expect["discordant"] if expect else None,
        places=given.places,
    )


def _sequential(given: tuple[SequentialRule, Values] | None) -> Sequential | None:
    return Sequential(given[0], **given[1].fixed) if given else None


def _sweep(given: Values | None) -> Sweep | None:
    if given is None:
        return None
    ((parameter, values),) = given.others.items()
    confirm = given["confirm"]
    return Sweep(parameter, values, confirm["seed"] if confirm else None)


def _refuse_cycle(gate: Gate, gates: Mapping[str, Gate]) -> None:
    waiting, reached = list(gate.requires), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(gates[name].requires)
    if gate.name in reached:
        raise SpecError(
            gate.position,
            f"gate {gate.name!r} requires itself, directly or through another; "
            "a gate requires gates decided before it",
        )
