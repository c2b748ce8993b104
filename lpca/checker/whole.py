"""What the whole gate comes to: at its expectations, and where there is no channel at all."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace

from lpca.base.numbers import percent
from lpca.checker.adversaries import ADVERSARIES, Adversary, truth
from lpca.checker.groups import design_effect, readings
from lpca.checker.repetition import EVERYWHERE, shown_share
from lpca.checker.rule import Fault, carried, deciding, is_decidable, place, rule, with_required
from lpca.checker.search import easiest
from lpca.checker.simulate import CLEAR, FEWEST, SEED, Drawn, Simulator
from lpca.gatespec.model import LATENT, Criterion, Gate, Spec, cluster_of, levels_of, passing_levels
from lpca.stats.planning import LARGEST_N, TARGET, power
from lpca.stats.truth import Truth

_ATTACKED: dict[Hashable, Drawn | None] = {}
MOST_KEPT = 1_000
"""Attacks whose verdicts are kept."""
MOST_SEARCHED = 10
"""Gates too weak for which the n that would do is looked for: each takes a dozen simulations."""
FEWEST_HELD = 30
"""Episodes from which on a test keeps its alpha closely enough to be relied on unseen."""


@rule("passes-adversary", "error")
def passes_adversary(spec: Spec) -> Iterator[Fault]:
    """A gate about a message passes where no message is read."""
    for gate in spec.gates.values():
        claiming = [one for one in deciding(gate) if carried(one.claim)]
        if not claiming or not is_decidable(spec, gate):
            continue
        allowed = 1.0 - spec.evaluation.confidence  # twice the alpha of one side
        for adversary in ADVERSARIES:
            if not adversary.refuses or not adversary.applies(spec, gate):
                continue
            if is_held(spec, gate, adversary, allowed):
                continue
            try:
                seen = attack(spec, gate, adversary)
            except ValueError:  # a stopping rule that cannot decide a claim: other rules say so
                break
            if seen is not None and seen.low > allowed:
                yield _passed(claiming[0], adversary, seen, allowed)


def attack(spec: Spec, gate: Gate, adversary: Adversary) -> Drawn | None:
    """The verdicts where an adversary does its best; None where it never passes.

    The worst of its worlds is chosen on tables of its own, so that no luck of the choice is told.
    Gates that are decided alike, whatever they are called, are attacked once.
    """
    key = (adversary.name, _decision(spec, gate))
    if key not in _ATTACKED:
        if len(_ATTACKED) >= MOST_KEPT:
            _ATTACKED.clear()
        _ATTACKED[key] = _attacked(spec, gate, adversary)
    return _ATTACKED[key]


def _decision(spec: Spec, gate: Gate) -> Hashable:
    """All that the verdicts of drawn tables follow from."""
    gates = tuple(
        (
            spec.episodes(one),
            one.answers,
            one.sequential,
            (one.any_k, len(one.family)),
            (one.correlation, one.icc, tuple(one.expect.items())),
            tuple(
                (each.claim, each.confidence, each.cluster, each.expect_discordant)
                for each in deciding(one)
            ),
        )
        for one in with_required(spec, gate)
    )
    evaluation = replace(spec.evaluation, places={})
    settings = (spec.file, spec.task.name, tuple(spec.task.settings.items()))
    return repr(evaluation), settings, len(spec.gates), gates


def _attacked(spec: Spec, gate: Gate, adversary: Adversary) -> Drawn | None:
    simulator = Simulator(*readings(spec, gate, marks=True))
    worlds, freedom = list(adversary.worlds(simulator.scene)), adversary.freedom(simulator.scene)
    if freedom is not None:
        thorough = simulator.effort == 1.0
        worlds += easiest(simulator.scene, freedom, simulator.at_rates, thorough)
    world = simulator.worst(worlds)
    return None if world is None else simulator.decide(world, seed=SEED - 1)


def is_held(spec: Spec, gate: Gate, adversary: Adversary, allowed: float) -> bool:
    """Whether a claim on nothing but what an adversary makes alike is false: alpha holds it then.

    So it is, drawn or not, unless the claim's own alpha is larger than what is allowed.
    """
    for one in deciding(gate):
        names = one.claim.conditions
        alike = len(names) > 1 and set(names) <= set(adversary.alike)
        # where alike episodes are each read by itself no alpha holds
        alike = alike and (not gate.icc or cluster_of(one, spec.evaluation) == "group")
        level = levels_of(one, spec.evaluation)[one.claim.is_two_sided]
        if not alike or spec.episodes(gate) < FEWEST_HELD or 1.0 - level > allowed:
            continue
        # of conditions that share a rate a comparison is true at every rate or at none
        if not Truth(dict.fromkeys(names, 0.5)).satisfies(one.claim):
            return True
    return False


def _passed(criterion: Criterion, adversary: Adversary, seen: Drawn, allowed: float) -> Fault:
    return Fault(
        criterion.position,
        f"{adversary.name} passes {seen.passed} of {seen.tables} times",
        f"at least {percent(seen.low)} by simulation (99 % Monte Carlo limit); at most "
        f"{percent(allowed)} is due",
        "a further criterion that it fails, such as normal - shuffle > 0",
    )


@rule("gate-underpowered", "error")
def gate_underpowered(spec: Spec) -> Iterator[Fault]:
    """Power of the whole gate, under the rule it declares, is below 0.8 at its expectations."""
    weak = 0
    for gate in spec.gates.values():
        if not deciding(gate) or not is_decidable(spec, gate):
            continue
        try:
            seen = whole_power(*readings(spec, gate))
        except ValueError:  # rates that are not expected, or that contradict: other rules say so
            continue
        if seen is not None and seen.high < TARGET:
            weak += 1
            yield _weak(spec, gate, seen, is_searched=weak <= MOST_SEARCHED)


def whole_power(spec: Spec, gate: Gate) -> Drawn | None:
    """The verdicts where `expect:` is true; None where the claims' own powers are enough to tell.

    Raises:
        ValueError: a rate that is not expected, or expectations that contradict one another.
    """
    world, simulator = truth(spec, gate), Simulator(spec, gate)
    if float(simulator.clearance([world])[0]) > CLEAR:
        return None
    powers = _powers(spec, gate)
    if min(powers) < TARGET:  # said of the criterion already
        return None
    # what each claim misses at most adds up
    simple = gate.sequential is None and not gate.requires
    if simple and sum(1.0 - one for one in powers) <= 1.0 - TARGET:
        return None
    return simulator.decide(world)


def _powers(spec: Spec, gate: Gate) -> list[float]:
    """By deciding criterion its power at the gate's n, read once at the end."""
    found = []
    for one in deciding(gate):
        levels = passing_levels(gate, levels_of(one, spec.evaluation))
        n = max(1, round(spec.episodes(gate) / design_effect(spec, gate, one)))
        found.append(power(one.claim, gate.truth(one), n, *levels))
    return found


def _weak(spec: Spec, gate: Gate, seen: Drawn, is_searched: bool) -> Fault:
    told = (
        f"power {seen.share:.2f} at n {spec.episodes(gate)} ({seen.low:.2f} to {seen.high:.2f} by "
        f"simulation, 99 % Monte Carlo limits), {TARGET} is due"
    )
    powers = _powers(spec, gate)
    if len(powers) > 1:
        told += f"; its {len(powers)} criteria alone have {min(powers):.2f} to {max(powers):.2f}"
    needed = enough(spec, gate) if is_searched else None
    if needed:
        instead = f"n: {needed} or so, which reaches {TARGET}"
    elif is_searched:
        instead = "fewer criteria, wider margins or another stopping rule: no feasible n reaches it"
    else:
        instead = f"a larger n (told of the first {MOST_SEARCHED} gates only), or fewer criteria"
    return Fault(
        gate.position,
        f"gate {gate.name} would mostly not pass even where expect: is true",
        told,
        instead,
    )


def enough(spec: Spec, gate: Gate) -> int | None:
    """About the n at which the whole gate's power reaches 0.8; None where none up to 64 n does."""
    short = spec.episodes(gate)

    def reached(n: int) -> bool:
        larger = replace(gate, n=n)
        gates = {**spec.gates, gate.name: larger}
        seen = Simulator(replace(spec, gates=gates), larger).decide(truth(spec, gate), FEWEST * 2)
        return seen.share >= TARGET

    sizes = [n for n in (short << i for i in range(1, 7)) if n <= LARGEST_N]
    high = next((n for n in sizes if reached(n)), None)
    if high is None:
        return None
    low = high // 2
    while high - low > max(1, high // 20):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


@rule("required-gate", "error")
def required_gate(spec: Spec) -> Iterator[Fault]:
    """A gate is required that cannot pass, or cannot fail, on the episodes it is judged on."""
    for gate in spec.gates.values():
        for required in (spec.gates[name] for name in gate.requires):
            for wrong, number, instead in _unfit(spec, gate, required):
                yield Fault(
                    place(gate, "requires"),
                    f"gate {gate.name} requires {required.name}, {wrong}",
                    number,
                    instead,
                )


def _unfit(spec: Spec, gate: Gate, required: Gate) -> Iterator[tuple[str, str, str]]:
    n, due = spec.episodes(gate), spec.episodes(required)
    # what no codec serves is the same on answers that training has seen and on others
    trained = any(name in LATENT for one in deciding(required) for name in one.claim.conditions)
    if trained and required.answers not in ("all", gate.answers):
        yield (
            f"which is a claim about {required.answers} answers, on episodes with "
            f"{gate.answers} answers",
            f"0 of the {n} episodes it is judged on are known to be its own"
            if gate.answers == "all"
            else f"0 of the {n} episodes it is judged on are its own",
            f"answers: all in {required.name}, or a gate of its own for {gate.answers} answers",
        )
    if all(_always(spec, replace(required, n=n), one) for one in deciding(required)):
        count = len(deciding(required))
        yield (
            "which holds whatever comes out",
            f"{count} of its {count} criteria are shown at nearly all rates",
            f"no requires: {required.name}, or a criterion in it that some outcomes miss",
        )
    if n < due and is_decidable(spec, required):
        reached = _power_at(spec, required, n)
        if reached is None or reached.high < TARGET:
            told = "" if reached is None else f", where its power is {reached.share:.2f}"
            yield (
                "which is judged on fewer episodes than it declares",
                f"{n} of {due}{told}",
                f"n: {due} in {gate.name}, or a smaller n in {required.name}",
            )


def _always(spec: Spec, gate: Gate, criterion: Criterion) -> bool:
    if criterion.claim.method is None:
        return False
    return shown_share(spec, gate, criterion) >= EVERYWHERE


def _power_at(spec: Spec, gate: Gate, n: int) -> Drawn | None:
    """The verdicts of a gate on fewer episodes than it declares; None where nothing is expected."""
    try:
        simulator = Simulator(spec, gate)
        simulator.sizes = tuple(dict.fromkeys(min(size, n) for size in simulator.sizes))
        return simulator.decide(truth(spec, gate))
    except ValueError:
        return None
