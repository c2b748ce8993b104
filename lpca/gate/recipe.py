"""One verdict about a recipe, from codecs that it trained with several seeds.

A codec is one draw of its recipe. Judged on the same test episodes, each seed's codec must pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lpca.base.errors import RequestError
from lpca.gate.plan import label_of
from lpca.gatespec.model import Gate, Spec, stricter
from lpca.judge.decide import judge, judge_family
from lpca.judge.outcomes import OutcomeTable
from lpca.report.layout import WIDTH, wrapped
from lpca.stats.verdicts import Verdict, gate_verdict


def refuse_drawn(spec: Spec) -> None:
    """Raise RequestError where codecs of several seeds would be judged on other episodes each."""
    if spec.task.drawn:
        raise RequestError(
            "--train-seeds beside task.seed: drawn, which draws each codec's own episodes; "
            "allowed: a seed in the spec"
        )


Tables = Mapping[int, OutcomeTable]
"""A seed's outcomes by k: one table, or those of a family of which any k suffices."""


@dataclass(frozen=True)
class RecipeVerdict:
    """What came of a gate by training seed, and of all of them.

    `k` is None for a gate of which any k suffices; `note` says what the verdicts alone do not.
    """

    gate: Gate
    k: int | None
    by_seed: Mapping[int, Verdict]
    verdict: Verdict
    note: str = ""

    aside: ClassVar[str] = ""
    """It is the run's."""

    @property
    def label(self) -> str:
        """The gate at its k, and the seeds."""
        name = f"{self.gate.name} any k" if self.gate.any_k else label_of(self.gate.name, self.k)
        return f"{name} training seeds {', '.join(map(str, self.by_seed))}"

    def lines(self, width: int = WIDTH) -> list[str]:
        """For the terminal: the verdict on the recipe, and what it rests on."""
        told = wrapped(f"{self.label}: {self.verdict}", width, 0, 2)
        return told + [line for text in self.told for line in wrapped(text, width, 2, 4)]

    @property
    def told(self) -> list[str]:
        """Each seed's verdict, and what asking all of them costs."""
        lines = [f"seed {seed}: {verdict}" for seed, verdict in self.by_seed.items()]
        lines += [self.note] if self.note else []
        every = "both" if len(self.by_seed) == 2 else f"all {len(self.by_seed)}"
        lines.append(
            f"{every} must pass, each at the gate's own level: no alpha is spent "
            "by that, and the power is at most that of the weakest"
        )
        return lines


def recipe_verdict(
    spec: Spec,
    gate: Gate,
    k: int | None,
    by_seed: Mapping[int, Verdict],
    tables: Mapping[int, Tables],
) -> RecipeVerdict:
    """Decide a gate for a recipe.

    PASS where every seed passes: an intersection-union test, which takes no correction (Berger
    1982, Technometrics 24:295). FAIL where some seed fails with alpha divided by the number of
    seeds, so that many seeds do not manufacture one. Otherwise the first present of INVALID, NOT
    MEASURED, INCONCLUSIVE, as for criteria of a gate. On validation episodes nothing is decided:
    EXPLORED.

    Args:
        spec: the spec that the gate is in.
        gate: the gate.
        k: number of latents; None where any of several suffices.
        by_seed: what came of the gate by training seed.
        tables: the outcomes of each seed that fails.

    Returns:
        The verdict on the recipe.
    """
    verdicts, note = set(by_seed.values()), ""
    if verdicts == {Verdict.EXPLORED}:
        return RecipeVerdict(gate, k, by_seed, Verdict.EXPLORED)
    # some could not be read: that is what the others come to
    verdicts -= {Verdict.EXPLORED}
    if Verdict.FAIL in verdicts:
        strict = stricter(spec, len(by_seed))
        failing = [tables[seed] for seed, verdict in by_seed.items() if verdict is Verdict.FAIL]
        if not any(_fails(strict, gate.name, own) for own in failing):
            verdicts = verdicts - {Verdict.FAIL} | {Verdict.INCONCLUSIVE}
            note = f"no seed fails with alpha divided by {len(by_seed)}"
    return RecipeVerdict(gate, k, by_seed, gate_verdict(verdicts), note)


def _fails(spec: Spec, name: str, tables: Tables) -> bool:
    gate = spec.gates[name]
    if gate.any_k:
        return judge_family(gate, tables, spec.evaluation).verdict is Verdict.FAIL
    return all(judge(spec, name, table).verdict is Verdict.FAIL for table in tables.values())
