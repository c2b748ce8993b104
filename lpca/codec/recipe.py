"""A training recipe: which codec, by which objectives, for how long. Read here, without torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from lpca.base.errors import RequestError
from lpca.base.registry import declared, suggestion
from lpca.channel.packets import Port
from lpca.gatespec import kinds
from lpca.gatespec.document import Items, Node, Section, SpecError, read_document
from lpca.gatespec.model import Position

TOKEN_POOLER, ANSWER = "token_pooler", "answer"
STATIC_PREFIX, STATIC_CACHE = "static_prefix", "static_cache"
MAX_STEPS, MAX_BATCH_SIZE = 10_000_000, 10_000


Value = int | tuple[int, ...] | str


class Setting(NamedTuple):
    """A whole number that an architecture takes.

    Several, rising, where `default` is a tuple; where it is a text, one of so many characters.
    """

    default: Value
    low: int
    high: int
    what: str


_OBJECTIVES = declared("lpca.codec.objectives")
OBJECTIVES: Mapping[str, str] = {name: about["asks"] for name, about in _OBJECTIVES.items()}
"""By name what an objective asks for; `lpca.codec.objectives` has the losses."""
COMPARING = frozenset(name for name, about in _OBJECTIVES.items() if about.get("compares"))
"""Objectives that compare the episodes of a batch: one alone will not do."""
ARCHITECTURES: Mapping[str, Mapping[str, Setting]] = {
    name: {key: Setting(*values) for key, values in about.items()}
    for name, about in declared("lpca.codec.architectures").items()
}
"""By name the settings of an architecture; `lpca.codec.architectures` has the codecs."""


class RecipeError(RequestError):
    """A recipe that cannot be; `keys` leads to the value at fault."""

    def __init__(self, message: str, keys: Sequence[str | int] = ()) -> None:
        super().__init__(message)
        self.keys = tuple(keys)


@dataclass(frozen=True)
class Stage:
    """So many steps on a weighted sum of objectives; raises RecipeError where it cannot be."""

    steps: int = 120
    objective: Mapping[str, float] = field(default_factory=lambda: {ANSWER: 1.0})

    def __post_init__(self) -> None:
        _whole(self.steps, "steps", 1, MAX_STEPS)
        if not isinstance(self.objective, Mapping) or not self.objective:
            raise _refused(
                "objective", self.objective, "one or more of name: weight", ["objective"]
            )
        weights = {name: _weight(name, value) for name, value in self.objective.items()}
        if not any(weights.values()):
            raise RecipeError(
                "objective: every weight is 0; allowed: at least one above 0", ["objective"]
            )
        object.__setattr__(self, "objective", weights)


@dataclass(frozen=True)
class Recipe:
    """How a codec is made and trained; raises RecipeError where it cannot be.

    By default it is the training that gates use unless told otherwise.

    The learning rate warms up, then falls as a cosine to zero, over all stages together.
    `settings` are the architecture's own; those left out are at their defaults.
    """

    architecture: str = TOKEN_POOLER
    settings: Mapping[str, Value] = field(default_factory=dict)
    stages: tuple[Stage, ...] = field(default_factory=lambda: (Stage(),))
    batch_size: int = 24
    learning_rate: float = 1e-3
    warmup_steps: int = 5
    validation_every: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", _settings(self.architecture, self.settings))
        if not self.stages:
            raise RecipeError("curriculum is empty; allowed: one stage or more", ["curriculum"])
        if self.steps > MAX_STEPS:
            raise RecipeError(
                f"curriculum: its steps are {self.steps}; allowed: 1 to {MAX_STEPS} in all",
                ["curriculum"],
            )
        _whole(self.batch_size, "batch_size", 1, MAX_BATCH_SIZE)
        _whole(self.warmup_steps, "warmup_steps", 0, MAX_STEPS)
        _whole(self.validation_every, "validation_every", 1, MAX_STEPS)
        rate = _number(self.learning_rate)
        if rate is None or rate <= 0:
            allowed = "a finite number above 0"
            raise _refused("learning_rate", self.learning_rate, allowed, ["learning_rate"])
        object.__setattr__(self, "learning_rate", rate)
        if self.batch_size == 1 and (alone := COMPARING.intersection(self.objectives)):
            allowed = f"from 2 on with the objective {min(alone)}, which compares episodes"
            raise _refused("batch_size", 1, allowed, ["batch_size"])

    @property
    def steps(self) -> int:
        """Number of steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the objectives that weigh anything in any stage, in the registry's order."""
        used = {name for stage in self.stages for name, weight in stage.objective.items() if weight}
        return tuple(name for name in OBJECTIVES if name in used)

    @property
    def budget(self) -> dict[str, float]:
        """What a control must have had too: steps, batch size and learning rate."""
        spent = ("steps", "batch_size", "learning_rate", "warmup_steps")
        return {name: getattr(self, name) for name in spent}

    def stage_at(self, step: int) -> Stage:
        """Return the stage of a step, counted from 0; past the end it is the last."""
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def control(self, port: Port | None = None) -> Recipe:
        """Return the recipe of the static prefix: the same budget, spent on the answer alone.

        Args:
            port: what the channel under test sends; of a cache the control is one of its layers.
        """
        name, settings = STATIC_PREFIX, dict[str, Value]()
        if port is not None and port.kind == "cache":
            name, settings = STATIC_CACHE, {"layers": port.layers}
        stages = (Stage(self.steps),)
        return replace(self, architecture=name, settings=settings, stages=stages)

    def content(self) -> dict[str, Any]:
        """Return it as JSON-able values, in the form that `read_recipe` reads."""
        settings = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.settings.items()
        }
        return {
            "architecture": {"name": self.architecture, **settings},
            "curriculum": [asdict(stage) for stage in self.stages],
            **{name: getattr(self, name) for name in _NUMBERS},
        }


_NUMBERS = ("batch_size", "learning_rate", "warmup_steps", "validation_every")
EXPECTED = "a recipe with architecture, objective, steps or curriculum"
_KEYS = ("architecture", "objective", "steps", "curriculum", *_NUMBERS)
_STAGE_KEYS = ("steps", "objective")


def read_recipe(mapping: object, place: str) -> Recipe:
    """Read a recipe from plain values; what is left out is as by default.

    Args:
        mapping: `architecture` (a name, or a mapping of name and settings), either `objective` and
            `steps` or `curriculum` (a list of both), and the numbers of `Recipe`.
        place: where it stands, for messages.

    Raises:
        RecipeError: anything in it that is not as it must be; one line that begins with `place`.
    """
    try:
        return _read(mapping)
    except RecipeError as error:
        raise RecipeError(f"{place}: {error}", error.keys) from None


def load_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe's file; SpecError, with its place, for anything that is not as it must be."""
    return recipe_of(read_document(path, EXPECTED))


def recipe_of(node: Node) -> Recipe:
    """Read a recipe from a part of a YAML document; SpecError as in `load_recipe`."""
    try:
        return read_recipe(plain(node), "recipe")
    except RecipeError as error:
        raise SpecError(_position(node, error.keys), str(error)) from None


def plain(node: Node) -> Any:
    """Turn located nodes into dicts, lists, numbers, booleans and texts."""
    if isinstance(node, Section):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Items):
        return [plain(item) for item in node.nodes]
    return kinds.Setting().read(node, "a value")


def _read(mapping: object) -> Recipe:
    given = _mapping(mapping, "the recipe", _KEYS, ())
    name, settings = given.get("architecture", TOKEN_POOLER), dict[str, Any]()
    if isinstance(name, Mapping):
        settings = dict(name)
        if "name" not in settings:
            raise RecipeError(
                "architecture lacks its name; allowed: name, and settings of its own",
                ["architecture"],
            )
        name = settings.pop("name")
    if "curriculum" not in given:
        stages = [_stage({key: given[key] for key in _STAGE_KEYS if key in given}, ())]
    elif both := [key for key in _STAGE_KEYS if key in given]:
        raise RecipeError(
            f"both curriculum and {both[0]} are given; allowed: a curriculum, or {both[0]} for "
            "all steps",
            ["curriculum"],
        )
    else:
        curriculum = given["curriculum"]
        if not isinstance(curriculum, Sequence) or isinstance(curriculum, str):
            allowed = "a list of steps and objective"
            raise _refused("curriculum", curriculum, allowed, ["curriculum"])
        stages = [_stage(one, ("curriculum", index)) for index, one in enumerate(curriculum)]
    numbers = {key: given[key] for key in _NUMBERS if key in given}
    return Recipe(name, settings, tuple(stages), **numbers)


def _stage(given: object, keys: tuple[str | int, ...]) -> Stage:
    where = f"stage {int(keys[-1]) + 1} of the curriculum" if keys else "the recipe"
    known = _mapping(given, where, _STAGE_KEYS, keys)
    try:
        return Stage(**known)
    except RecipeError as error:
        text = f"{where}: {error}" if keys else str(error)
        raise RecipeError(text, [*keys, *error.keys]) from None


def _mapping(
    given: object, what: str, allowed: Sequence[str], keys: tuple[str | int, ...]
) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise _refused(what, given, "a mapping", keys)
    for key in given:
        if key not in allowed:
            hint = suggestion(str(key), allowed)
            raise RecipeError(f"unknown key {_shown(key)} in {what}; {hint}", [*keys, key])
    return dict(given)


def _settings(architecture: object, given: Mapping[str, Value]) -> dict[str, Value]:
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        hint = suggestion(str(architecture), ARCHITECTURES)
        raise RecipeError(
            f"architecture {_shown(architecture)} is unknown; {hint}", ["architecture", "name"]
        )
    own = ARCHITECTURES[architecture]
    for key in given:
        if key not in own:
            hint = suggestion(str(key), own) if own else "allowed: none"
            raise RecipeError(
                f"architecture {architecture}: unknown setting {_shown(key)}; {hint}",
                ["architecture", key],
            )
    filled = {key: given.get(key, setting.default) for key, setting in own.items()}
    for key, value in filled.items():
        low, high, keys = own[key].low, own[key].high, ("architecture", key)
        if isinstance(own[key].default, int):
            _whole(value, key, low, high, keys)
            continue
        if isinstance(own[key].default, str):
            if not isinstance(value, str) or not low <= len(value) <= high:
                raise _refused(key, value, f"a text: {own[key].what}", keys)
            continue
        if not isinstance(value, list | tuple):
            raise _refused(key, value, f"a list of numbers from {low} to {high}", keys)
        for one in value:
            _whole(one, f"one of {key}", low, high, keys)
        if list(value) != sorted(set(value)):
            raise _refused(key, value, "rising numbers, each once", keys)
        filled[key] = tuple(value)
    return filled


def _weight(name: object, value: object) -> float:
    if not isinstance(name, str) or name not in OBJECTIVES:
        hint = suggestion(str(name), OBJECTIVES)
        raise RecipeError(f"objective {_shown(name)} is unknown; {hint}", ["objective", str(name)])
    weight = _number(value)
    if weight is None or weight < 0:
        what, allowed = f"objective {name}: its weight", "a finite number from 0 on"
        raise _refused(what, value, allowed, ["objective", name])
    return weight


def _whole(
    value: object, name: str, low: int, high: int, keys: tuple[str | int, ...] | None = None
) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _refused(name, value, f"{low} to {high}", keys or [name])


def _number(value: object) -> float | None:
    """A finite number as a float; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # nan, infinity, and a whole number too large for a float
    return float(value) if abs(value) <= sys.float_info.max else None


def _refused(what: str, value: object, allowed: str, keys: Sequence[str | int]) -> RecipeError:
    return RecipeError(f"{what} is {_shown(value)}; allowed: {allowed}", keys)


def _shown(value: object) -> str:
    return f"{value!r:.60}"


def _position(node: Node, keys: tuple[str | int, ...]) -> Position:
    """Where the value stands to which keys lead, as far as they lead anywhere."""
    for key in keys:
        if isinstance(node, Section) and key in node.entries:
            node = node.entries[str(key)].value
        elif isinstance(node, Items) and isinstance(key, int):
            node = node.nodes[key]
    return node.position
