"""How a row's codec is made: architecture, objective and number of steps.

It holds what `lpca train` can do today; a further objective or setting is a further key here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lpca.spec import fields
from lpca.spec.document import Node, Section

if TYPE_CHECKING:
    from lpca.codec.store import Request

KEYS = ("architecture", "objective", "steps")
ARCHITECTURES = ("token_pooler", "static_prefix")
OBJECTIVES = ("answer",)
"""`answer`: cross-entropy of the right answer's tokens, as `lpca.codec.training` has it."""
STEPS, MAX_STEPS = 120, 10_000_000


@dataclass(frozen=True)
class Recipe:
    """A training run, but for k and seed; `objective` holds weights by the losses' names."""

    architecture: str
    objective: dict[str, float]
    steps: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able values."""
        return asdict(self)

    def request(self, k: int, seed: int) -> Request:
        """What the store is asked for."""
        from lpca.codec.store import Request
        from lpca.codec.training import TrainConfig

        config = TrainConfig(steps=self.steps)
        return Request(k, seed, config=config, architecture=self.architecture)


def read_recipe(section: Section) -> Recipe:
    """Read a recipe from a mapping's entries; SpecError at what is wrong."""
    architecture = fields.optional(section, "architecture")
    objective = fields.optional(section, "objective")
    steps = fields.optional(section, "steps")
    return Recipe(
        fields.as_choice(architecture, "architecture", ARCHITECTURES)
        if architecture
        else ARCHITECTURES[0],
        _objective(objective) if objective else {OBJECTIVES[0]: 1.0},
        fields.as_integer(steps, "steps", 1, MAX_STEPS) if steps else STEPS,
    )


def _objective(node: Node) -> dict[str, float]:
    section = fields.as_section(node, "objective")
    fields.check_keys(section, "objective", OBJECTIVES)
    return {
        entry.key.text: fields.as_number(entry.value, f"the weight of {entry.key.text}", 1.0, 1.0)
        for entry in fields.as_entries(node, "objective")
    }
