"""What is read, and when: nothing chosen by its outcomes, shared, said twice or left unread."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

from lpca.checker.rule import Fault, place, place_in, rule, with_required
from lpca.gatespec.model import Filter, Gate, Position, Spec, Sweep

Ranges = tuple[tuple[int, int], ...]

_FALSE_PASS = {2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}
"""By number of looks: P(some look is significant at two-sided 0.05) when nothing is there.

Armitage, McPherson and Rowe (1969), J. R. Stat. Soc. A 132:235, table 2.
"""


@rule("optional-stopping", "error")
def optional_stopping(spec: Spec) -> Iterator[Fault]:
    """Looks at the data without a declared sequential rule."""
    for gate in spec.gates.values():
        if len(gate.looks) < 2 or gate.sequential is not None:
            continue
        count = len(gate.looks)
        known = max(looks for looks in _FALSE_PASS if looks <= count)
        yield Fault(
            place(gate, "looks"),
            f"gate {gate.name} is read {count} times and may stop at each, by no declared rule",
            f"{known} looks at 95 % intervals find something that is not there in "
            f"{100 * _FALSE_PASS[known]:.1f} % of runs instead of 5 %",
            f"sequential: {{rule: e-process, block: {gate.looks[0]}}} or "
            f"{{rule: obrien-fleming, looks: {min(count, 20)}}} in place of looks:",
        )


@rule("idle-looks", "error")
def idle_looks(spec: Spec) -> Iterator[Fault]:
    """Looks that are declared and never happen."""
    for gate in spec.gates.values():
        n = spec.episodes(gate)
        beyond = [look for look in gate.looks if look > n]
        if gate.sequential and gate.looks:
            what = "the looks are those of its sequential: rule"
            number = f"{len(gate.looks)} looks are declared beside it"
        elif beyond:
            what = "a gate is not read after its last episode"
            number = f"a look at {beyond[0]}, and n is {n}"
        elif len(gate.looks) == 1 and gate.looks != (n,):
            what = "a gate without a sequential: rule is read once, after its last episode"
            number = f"a look at {gate.looks[0]}, and n is {n}"
        else:
            continue
        yield Fault(
            place(gate, "looks"),
            f"gate {gate.name} declares looks that never happen: {what}",
            number,
            "no looks:, or a sequential: rule that pays for them",
        )


@rule("winners-curse", "error")
def winners_curse(spec: Spec) -> Iterator[Fault]:
    """The best of a sweep gated on the episodes that chose it."""
    for sweep, position, what in sweeps(spec):
        count = len(sweep.values)
        alpha = (1.0 - spec.evaluation.confidence) / 2.0
        unheard = "" if sweep.confirm_seed is None else "; no command carries a confirmation out"
        yield Fault(
            position,
            f"{what} gates the best of {count} values of {sweep.parameter} on the episodes that "
            f"chose it{unheard}",
            f"the best of {count} passes a one-sided {alpha:.3g} test by luck in up to "
            f"{100 * (1.0 - (1.0 - alpha) ** count):.0f} % of runs",
            f"no best_of: choose {sweep.parameter} on validation episodes, and gate the one chosen",
        )


def sweeps(spec: Spec) -> Iterator[tuple[Sweep, Position, str]]:
    """Every sweep of a spec, where it stands and what it decides."""
    for gate in spec.gates.values():
        if gate.best_of:
            yield gate.best_of, place(gate, "best_of"), f"gate {gate.name}"
        for criterion in gate.criteria:
            if criterion.best_of:
                yield criterion.best_of, place(criterion, "best_of"), criterion.id


@rule("outcome-filter", "error")
def outcome_filter(spec: Spec) -> Iterator[Fault]:
    """A subset of episodes chosen by an outcome."""
    for gate in spec.gates.values():
        compared = {name for criterion in gate.criteria for name in criterion.claim.conditions}
        if gate.where:
            yield _filtered(gate, gate.where, place(gate, "where"), compared)
        for criterion in gate.criteria:
            if criterion.where:
                named = set(criterion.claim.conditions)
                yield _filtered(gate, criterion.where, place(criterion, "where"), named)


def _filtered(gate: Gate, chosen: Filter, position: Position, compared: set[str]) -> Fault:
    names = [name for name, _ in chosen.outcomes]
    own = [name for name in names if name in compared]
    name, succeeds = next(pair for pair in chosen.outcomes if pair[0] in (own or names))
    if own:
        side = "below" if succeeds else "above"
        effect = (
            f"there {name} is {100 if succeeds else 0} % by construction, and every other "
            f"condition, an inert one too, scores {side} it"
        )
    else:
        effect = "the claim then speaks of other episodes than the gate's"
    return Fault(
        position,
        f"{chosen.text!r} picks episodes by the outcome of {', '.join(own or names)}: {effect}",
        _kept(gate, name, succeeds),
        "all episodes, or a subset known before any outcome (answers: seen or unseen)",
    )


def _kept(gate: Gate, name: str, succeeds: bool) -> str:
    rate = gate.expect.get(name)
    if rate is None:
        return f"{name} is {100 if succeeds else 0} % there, whatever it is on all episodes"
    kept, shift = (rate, 1.0 - rate) if succeeds else (1.0 - rate, rate)
    return (
        f"on the {100 * kept:g} % of episodes kept, a condition that succeeds as often as {name} "
        f"but on its own episodes differs from it by {100 * shift:g} points"
    )


@rule("seed-overlap", "error")
def seed_overlap(spec: Spec) -> Iterator[Fault]:
    """Episodes shared by what must be disjoint."""
    for (key, _, first), (other, position, second) in combinations(_seeds(spec), 2):
        shared = _shared(first, second)
        if shared is not None:
            yield Fault(
                position,
                f"{other} and {key} name the same episodes",
                f"seed {shared} is in both",
                f"a {other} that shares no seed with {key}",
            )


def _seeds(spec: Spec) -> list[tuple[str, Position, Ranges]]:
    task = spec.task
    named: list[tuple[str, Position, Ranges]] = [
        ("seed", place_in(spec, task, "seed"), () if task.drawn else ((task.seed, task.seed),))
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
    """The least seed of the first ranges that meet."""
    meeting = ((max(a[0], b[0]), min(a[1], b[1])) for a, b in product(first, second))
    return next((low for low, high in meeting if low <= high), None)


@rule("decides-nothing", "error")
def decides_nothing(spec: Spec) -> Iterator[Fault]:
    """A gate whose criteria all only warn."""
    for gate in spec.gates.values():
        if not gate.deciding:
            yield Fault(
                place(gate.criteria[0], "severity"),
                f"gate {gate.name} has no criterion that decides: it would never pass or fail",
                f"{len(gate.criteria)} of its {len(gate.criteria)} criteria only warn",
                "severity: error in one of them at least, or no such gate",
            )


@rule("duplicate-id", "error")
def duplicate_id(spec: Spec) -> Iterator[Fault]:
    """Two criteria of a gate with one id."""
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


@rule("unused-condition", "warning")
def unused_condition(spec: Spec) -> Iterator[Fault]:
    """A condition is run that no criterion reads."""
    for gate in spec.gates.values():
        # shown beside another, for comparison with its conditions
        showing = [other for other in spec.gates.values() if gate.name in other.shown_with]
        used = {
            name
            for other in (*with_required(spec, gate), *showing)
            for criterion in other.criteria
            for name in criterion.claim.conditions
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
