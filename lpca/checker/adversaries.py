"""How outcomes of an episode come about: if `expect:` is true, or if an adversary made them.

An adversary is what some cheat, or some fault, makes of every condition. A gate that says of a
codec that it carries a message must not pass where one of them is all there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from lpca.base.registry import declared
from lpca.checker.rule import CARRIERS, carried, deciding, with_required
from lpca.checker.search import Freedom
from lpca.gatespec.model import CONDITIONS, IDLE, LATENT, TEXTS, Gate, Spec
from lpca.stats.claims import Band, Rate
from lpca.stats.truth import Ties, Truth, success_given, ties_of

if TYPE_CHECKING:
    from lpca.stats.batch import Array

LEVELS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""How often an adversary may choose to succeed, beside the rates that the gate itself expects."""
UNKNOWN_GUESS, UNKNOWN_TEXT = 0.25, 0.8
"""What guessing and text come to where the spec does not say."""
SHUFFLES = tuple(f"shuffle{which}" for which in ("", *(f"_{number}" for number in range(1, 9))))
"""Another episode's messages, of all senders or of one; in the first place that of all."""
PREFIXES = ("normal", *SHUFFLES, "static", "mean", "same_answer")
"""Conditions that one prefix serves as well as another where no message is read."""
TRAINED_APART = ("static", "mean")
"""Those among them that a codec's own prefix may well surpass."""

NO_TIES: Ties = MappingProxyType({})
Rates = Mapping[str, float]
"""Conditions that share one draw per episode, by the share of draws on which each succeeds."""
NO_RATES: Rates = MappingProxyType({})


@dataclass(frozen=True)
class World:
    """How often each pattern of outcomes occurs in an episode.

    Args:
        names: the conditions, in the order of a pattern.
        patterns: [patterns, conditions] of 0 and 1.
        shares: by pattern how often it occurs; they add to 1.
    """

    names: tuple[str, ...]
    patterns: Array
    shares: Array

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        draws: Sequence[Rates],
        ties: Ties = NO_TIES,
        rates: Rates = NO_RATES,
    ) -> World:
        """Independent draws, each of which decides its own conditions.

        `ties` adds conditions that depend on another one alone; `rates` holds those of both.
        """
        found = _Patterns.none(names)
        for shared in draws:
            found = found.times(_Patterns.shared(names, shared))
        for name, (partner, apart) in ties.items():
            found = found.tied(name, partner, apart, rates)
        return cls(tuple(names), found.bits, found.shares)

    def mixed(self, other: World, share: float) -> World:
        """On a share of the episodes another world."""
        kept = [part for part in ((self, 1.0 - share), (other, share)) if part[1] > 0.0]
        patterns = np.concatenate([world.patterns for world, _ in kept])
        shares = np.concatenate([weight * world.shares for world, weight in kept])
        return World(self.names, patterns, shares)


@dataclass(frozen=True)
class _Patterns:
    names: tuple[str, ...]
    bits: Array
    shares: Array

    @classmethod
    def none(cls, names: Sequence[str]) -> _Patterns:
        return cls(tuple(names), np.zeros((1, len(names))), np.ones(1))

    @classmethod
    def shared(cls, names: Sequence[str], rates: Rates) -> _Patterns:
        """One draw of difficulty: a condition succeeds where it lies below its rate."""
        ends = np.array(sorted({0.0, 1.0, *rates.values()}))
        bits = np.zeros((len(ends) - 1, len(names)))
        for name, rate in rates.items():
            bits[:, names.index(name)] = ends[:-1] < rate
        return cls(tuple(names), bits, np.diff(ends))

    def times(self, other: _Patterns) -> _Patterns:
        bits = self.bits[:, None, :] + other.bits[None, :, :]
        shares = (self.shares[:, None] * other.shares[None, :]).ravel()
        return _Patterns(self.names, bits.reshape(-1, len(self.names)), shares)

    def tied(self, name: str, partner: str, apart: float, rates: Rates) -> _Patterns:
        """A further condition, which depends on its partner alone."""
        given = [success_given(bit, Truth(rates), name, partner, apart) for bit in (0, 1)]
        likely = np.array(given)[self.bits[:, self.names.index(partner)].astype(int)]
        bits = np.concatenate([self.bits, self.bits])
        bits[: len(self.bits), self.names.index(name)] = 1.0
        shares = np.concatenate([self.shares * likely, self.shares * (1.0 - likely)])
        return _Patterns(self.names, bits[shares > 0.0], shares[shares > 0.0])


@dataclass(frozen=True)
class Adversary:
    """A cheat or a fault, whether a gate that it passes is refused, and its worlds.

    `alike` are conditions that have one rate in all of them; where that may be any, `free` are
    those that may have any rate of their own. `carrier` names the one of the carriers that reads no
    message, where the other does: a gate is attacked so if it names both and claims something of
    this one.
    """

    name: str
    refuses: bool
    worlds: Callable[[Scene], Iterator[World]]
    alike: Collection[str] = ()
    free: tuple[str, ...] | None = None
    carrier: str | None = None

    def applies(self, spec: Spec, gate: Gate) -> bool:
        """Whether it is one of the gate: of two carriers that differ both must be named."""
        if self.carrier is None:
            return True
        claimed = any(self.carrier in carried(one.claim) for one in deciding(gate))
        return claimed and set(Scene.of(spec, gate).names) >= CARRIERS

    def freedom(self, scene: Scene) -> Freedom | None:
        """What it leaves open in a scene; None where it has no rate of its own to choose."""
        alike = tuple(name for name in scene.names if name in self.alike)
        if self.free is None or not alike:
            return None
        free = tuple(name for name in scene.names if name in self.free)
        rest = [name for name in scene.names if name not in (*alike, *free)]
        return Freedom(alike, free, {name: scene.rate(name) for name in rest})


@dataclass(frozen=True)
class Scene:
    """A gate that is attacked: its conditions and what is expected of them."""

    spec: Spec
    gate: Gate
    names: tuple[str, ...]

    @classmethod
    def of(cls, spec: Spec, gate: Gate) -> Scene:
        """The scene of a gate, with the conditions of the gates that it requires."""
        criteria = [one for other in with_required(spec, gate) for one in deciding(other)]
        named = dict.fromkeys(name for one in criteria for name in one.claim.conditions)
        return cls(spec, gate, tuple(named))

    def rate(self, name: str) -> float:
        """How often a condition is expected to succeed, also by a required gate; else a guess."""
        for one in with_required(self.spec, self.gate):
            if name in one.expect:
                return one.expect[name]
        return self._claimed(name, self._guessed(name))

    def _guessed(self, name: str) -> float:
        if name == "p1":
            return UNKNOWN_TEXT
        if name in TEXTS:
            return self.rate("p1")
        return guess(self.spec) if name == "p0" else self.rate("p0")

    def _claimed(self, name: str, rate: float) -> float:
        """A rate that nobody expects, moved to where the claims on it alone hold."""
        regions = [claim.region for claim in self._single if claim.conditions == (name,)]
        low = max((region.low for region in regions), default=0.0)
        high = min((region.high for region in regions), default=1.0)
        low, high = max(low, 0.0), min(high, 1.0)
        return rate if low < rate < high or low >= high else (low + high) / 2.0

    def levels(self) -> list[float]:
        """The rates an adversary may choose: coarse steps, what is expected, the midst of bands."""
        bands = ((one.low + one.high) / 2.0 for one in self._single if isinstance(one, Band))
        return sorted({*LEVELS, *map(self.rate, self.names), *bands})

    @cached_property
    def _single(self) -> list[Rate | Band]:
        gates = with_required(self.spec, self.gate)
        claims = [one.claim for gate in gates for one in deciding(gate)]
        return [one for one in claims if isinstance(one, Rate | Band)]

    def others(self, *but: str) -> list[Rates]:
        """The other conditions as expected, each on its own; injected text does what text does."""
        names = [name for name in self.names if name not in but]
        text = {name: self.rate(name) for name in names if name in ("p1", "embed")}
        found: list[Rates] = [{name: self.rate(name)} for name in names if name not in text]
        return [*found, text] if text else found

    def world(self, draws: Sequence[Rates]) -> World:
        """Independent draws, each of which decides its own conditions."""
        return World.of(self.names, draws)

    def alike(self, draws: Sequence[Rates]) -> World:
        """One draw that decides every condition: outcomes as alike as their rates allow."""
        return self.world([{name: rate for draw in draws for name, rate in draw.items()}])


def guess(spec: Spec) -> float:
    """How often B is right without a message."""
    options = options_of(spec)
    return UNKNOWN_GUESS if options is None else 1.0 / options


def options_of(spec: Spec) -> int | None:
    """Among how many options B chooses; None where the task does not say."""
    told = declared("lpca.tasks.kinds").get(spec.task.name, {}).get("options")
    options = spec.task.settings.get("options", told)
    return options if isinstance(options, int) and options > 0 else None


def draws_options(spec: Spec) -> bool:
    """Whether the task itself draws the right one of its options, each as often as another."""
    return "options" in declared("lpca.tasks.kinds").get(spec.task.name, {})


def truth(spec: Spec, gate: Gate) -> World:
    """What `expect:` supposes.

    Raises:
        ValueError: a condition of the gate without a supposed rate of its own, one of a required
            gate without any, or disagreements that rates contradict.
    """
    for criterion in deciding(gate):
        for name in criterion.claim.conditions:
            gate.truth().rate(name)
    names = Scene.of(spec, gate).names
    criteria = [one for other in with_required(spec, gate) for one in deciding(other)]
    told: dict[str, float] = {}
    for one in reversed(with_required(spec, gate)):
        told |= one.expect
    rates = {name: Truth(told).rate(name) for name in names}
    ties = ties_of([one.claim for one in criteria], [one.expect_discordant for one in criteria])
    for name, (partner, _) in ties.items():
        if partner in ties:
            raise ValueError(f"{name} is tied to {partner}, which is not a free condition")
    free = {name: rate for name, rate in rates.items() if name not in ties}
    apart = World.of(names, [{name: rate} for name, rate in free.items()], ties, rates)
    together = World.of(names, [free], ties, rates)
    return apart.mixed(together, gate.correlation)


def _inert(scene: Scene) -> Iterator[World]:
    """Every latent condition does what p0 does: on its own, or on the very same episodes."""
    idle = {name: scene.rate("p0") for name in scene.names if name in IDLE}
    rest = scene.others(*idle)
    yield scene.world([*({name: rate} for name, rate in idle.items()), *rest])
    yield scene.world([idle, *rest])
    yield scene.alike([idle, *rest])


def _magic_prompt(scene: Scene) -> Iterator[World]:
    """One learned prefix, whatever the message: as good as the trained control's, or better."""
    present = [name for name in PREFIXES if name in scene.names]
    own = [name for name in present if name not in TRAINED_APART]
    for names in (present, own) if own != present else (present,):
        rest = scene.others(*names)
        for level in scene.levels():
            prefixes = dict.fromkeys(names, level)
            yield scene.world([prefixes, *rest])
            yield scene.world([*({name: rate} for name, rate in prefixes.items()), *rest])
            yield scene.alike([prefixes, *rest])


def _same_answer(scene: Scene) -> Iterator[World]:
    """The message's paraphrase is read; of the message itself any other would do as well."""
    own = [name for name in PREFIXES if name in scene.names and name != "same_answer"]
    rest = scene.others(*own)
    for level in scene.levels():
        yield scene.world([dict.fromkeys(own, level), *rest])


def _noise(scene: Scene) -> Iterator[World]:
    """Every condition succeeds at random at one rate, whatever stands in its slot."""
    for level in sorted({0.05, 0.1, 0.2, *scene.levels()}):
        yield from _all_at(scene, level)


def _text_leak(scene: Scene) -> Iterator[World]:
    """The message's text stands in B's prompt itself, which all conditions share."""
    yield from _all_at(scene, scene.rate("p1"))


def _all_at(scene: Scene, level: float) -> Iterator[World]:
    rates = dict.fromkeys(scene.names, level)
    yield scene.world([{name: level} for name in rates])
    yield scene.world([rates])


def _half(scene: Scene) -> Iterator[World]:
    """The channel works in half of the groups; in the others it is inert."""
    idle = next(_inert(scene))
    yield scene.world(scene.others()).mixed(idle, 0.5)


def _presence(scene: Scene) -> Iterator[World]:
    """Whatever is injected helps by standing there, true zeros too."""
    helped = [{name: scene.rate("normal")} for name in scene.names if name in LATENT]
    rest = scene.others(*LATENT.among(scene.names))
    yield scene.world([*helped, *rest])


def _seen_only(scene: Scene) -> Iterator[World]:
    """The channel works on answers that training has seen; on others it is inert."""
    works, idle = scene.world(scene.others()), next(_inert(scene))
    yield works.mixed(idle, {"seen": 0.0, "unseen": 1.0, "all": 0.5}[scene.gate.answers])


_UNTRAINED = ("static", "mean", "null", "random", "shaped", "empty")
"""Latents that no message is behind: they may help or harm as they like.

A codec may give an empty message something else than all others, and so be one magic prompt."""

ADVERSARIES = (
    Adversary("an inert codec", True, _inert, IDLE),
    Adversary(
        "a magic prompt", True, _magic_prompt, ("normal", *SHUFFLES, "same_answer"), _UNTRAINED
    ),
    Adversary(
        "a magic prompt, paraphrases read",
        True,
        _same_answer,
        ("normal", *SHUFFLES),
        ("same_answer", *_UNTRAINED),
        "normal",
    ),
    Adversary("noise at one rate", True, _noise, CONDITIONS, ()),
    Adversary("a text leak", True, _text_leak, CONDITIONS),
    Adversary("works in half of the groups", False, _half),
    Adversary("helps by position only", False, _presence),
    Adversary("works on seen answers alone", False, _seen_only),
)
"""In the order in which `lpca plan` shows them."""
