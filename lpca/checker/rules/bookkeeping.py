"""Names, seeds and conditions that do not add up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from lpca.checker.rules.base import Fault, Rule, place, place_in, with_required
from lpca.checker.rules.selection import sweeps
from lpca.gatespec.model import Gate, Position, Spec

Ranges = tuple[tuple[int, int], ...]


def _seed_overlap(spec: Spec) -> Iterator[Fault]:
    for (one, _, first), (other, position, second) in combinations(_seeds(spec), 2):
        shared = _shared(first, second)
        if shared is not None:
            yield Fault(
                position,
                f"{other} and {one} name the same episodes",
                f"seed {shared} is in both",
                f"a {other} that shares no seed with {one}",
            )


def _seeds(spec: Spec) -> list[tuple[str, Position, Ranges]]:
    task = spec.task
    named: list[tuple[str, Position, Ranges]] = [
        ("seed", place_in(spec, task, "seed"), ((task.seed, task.seed),))
    ]
    for key, ranges in task.other_seeds.items():
        named.append((key, place_in(spec, task, key), ranges))
    confirming: dict[int, Position] = {}
    for sweep, position, _ in sweeps(spec):
        if sweep.confirm_seed is not None:
            confirming.setdefault(sweep.confirm_seed, position)
    for seed, position in confirming.items():
        named.append(("confirm: seed", position, ((seed, seed),)))
    return named


def _shared(first: Ranges, second: Ranges) -> int | None:
    for low, high in first:
        for start, end in second:
            if max(low, start) <= min(high, end):
                return max(low, start)
    return None


def _duplicate_id(spec: Spec) -> Iterator[Fault]:
    for gate in spec.gates.values():
        first: dict[str, Position] = {}
        for criterion in gate.criteria:
            here = place(criterion, "id")
            if criterion.id in first:
                yield Fault(
                    here,
                    f"gate {gate.name} has two criteria with the id {criterion.id}",
                    f"the first stands on line {first[criterion.id].line}",
                    "an id of its own",
                )
            first.setdefault(criterion.id, here)


def _unused_condition(spec: Spec) -> Iterator[Fault]:
    for gate in spec.gates.values():
        used = {
            name
            for other in (*with_required(spec, gate), *_showing(spec, gate))
            for one in other.criteria
            for name in one.claim.conditions
        }
        used.update(gate.reported)
        unused = [name for name in gate.conditions if name not in used]
        if unused:
            yield Fault(
                place(gate, "conditions"),
                f"gate {gate.name} runs {', '.join(unused)}, which no criterion reads",
                f"{len(unused) * spec.episodes(gate)} outcomes are measured for nothing",
                f"conditions: [{', '.join(name for name in gate.conditions if name in used)}], "
                f"or a criterion on {' and '.join(unused)}",
            )


def _showing(spec: Spec, gate: Gate) -> list[Gate]:
    """Gates that show this one beside them, for comparison with their own conditions."""
    return [other for other in spec.gates.values() if gate.name in other.shown_with]


SEED_OVERLAP = Rule(
    "seed-overlap", "error", "Episodes shared by what must be disjoint.", _seed_overlap
)
DUPLICATE_ID = Rule("duplicate-id", "error", "Two criteria of a gate with one id.", _duplicate_id)
UNUSED_CONDITION = Rule(
    "unused-condition", "warning", "A condition is run that no criterion reads.", _unused_condition
)
