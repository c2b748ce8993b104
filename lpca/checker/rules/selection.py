"""Could what is read, or when, have been chosen by the outcomes themselves?"""

from __future__ import annotations

from collections.abc import Iterator

from lpca.checker.rules.base import Fault, Rule, place
from lpca.gatespec.model import Filter, Gate, Position, Spec, Sweep

_FALSE_PASS = {2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320}
"""By number of looks: P(some look is significant at two-sided 0.05) when nothing is there.

Armitage, McPherson and Rowe (1969), J. R. Stat. Soc. A 132:235, table 2.
"""


def _optional_stopping(spec: Spec) -> Iterator[Fault]:
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


def _winners_curse(spec: Spec) -> Iterator[Fault]:
    for sweep, position, what in sweeps(spec):
        seed = sweep.confirm_seed
        if seed is not None and seed != spec.task.seed:
            continue
        count = len(sweep.values)
        alpha = (1.0 - spec.evaluation.confidence) / 2.0
        yield Fault(
            position,
            f"{what} gates the best of {count} values of {sweep.parameter} on the episodes that "
            "chose it",
            f"the best of {count} passes a one-sided {alpha:.3g} test by luck in up to "
            f"{100 * (1.0 - (1.0 - alpha) ** count):.0f} % of runs",
            f"best_of: {{{sweep.parameter}: [...], confirm: {{seed: N}}}} with a seed other than "
            f"{spec.task.seed}",
        )


def sweeps(spec: Spec) -> Iterator[tuple[Sweep, Position, str]]:
    """Every sweep of a spec, where it stands and what it decides."""
    for gate in spec.gates.values():
        if gate.best_of:
            yield gate.best_of, place(gate, "best_of"), f"gate {gate.name}"
        for criterion in gate.criteria:
            if criterion.best_of:
                yield criterion.best_of, place(criterion, "best_of"), criterion.id


def _outcome_filter(spec: Spec) -> Iterator[Fault]:
    for gate in spec.gates.values():
        compared = {name for one in gate.criteria for name in one.claim.conditions}
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


OPTIONAL_STOPPING = Rule(
    "optional-stopping",
    "error",
    "Looks at the data without a declared sequential rule.",
    _optional_stopping,
)
WINNERS_CURSE = Rule(
    "winners-curse",
    "error",
    "The best of a sweep gated on the episodes that chose it.",
    _winners_curse,
)
OUTCOME_FILTER = Rule(
    "outcome-filter",
    "error",
    "A subset of episodes chosen by an outcome.",
    _outcome_filter,
)
