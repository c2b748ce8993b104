"""What a gate really runs is what its identities rest on: an oracle beside the closure itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, MappingProxyType

from test_identities import Recording

from lpca.base.code_identity import Symbol, reading
from lpca.base.source_code import WHOLE
from lpca.codec.checkpoint import training_code
from lpca.codec.recipe import Recipe, Stage
from lpca.gate.evidence import Origin
from lpca.gate.plan import sound_spec, task_of
from lpca.gate.runner import Options, Runner
from lpca.lab.results import deciding_code
from lpca.report.console import StderrConsole

GATE = """
version: 1
task: {name: trip, seed: 1}
evaluation: {n: 24, checkpoints: 9}
gates:
  traced:
    conditions: [p0, p1, embed, normal, null, random, shuffle, static, mean, same_answer, p2_16]
    reported: [p1, embed, random, static, mean, same_answer, p2_16]
    expect: {p0: 0.25, normal: 0.95, null: 0.25, shuffle: 0.05}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""
RECIPE = Recipe(stages=(Stage(2, {"answer": 1.0}),), batch_size=4)
SHOWN_ONLY = MappingProxyType(
    {
        "lpca.report.console": "what is shown while a run goes on",
        "lpca.codec.recipe": "reading a recipe: what it says is a part of the identity",
    }
)
"""Modules whose code decides nothing, by the reason."""


@contextmanager
def traced() -> Iterator[dict[tuple[str, str], str]]:
    """By module and definition what of lpca is entered meanwhile, as Python names it."""
    seen: dict[tuple[str, str], str] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__") or ""
        # a class's body runs where its module is imported
        is_function = frame.f_code.co_flags & inspect.CO_OPTIMIZED
        if event == "call" and is_function and module.startswith("lpca."):
            name = frame.f_code.co_qualname
            seen.setdefault((module, name.partition(".")[0]), name)

    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def test_all_that_a_gate_runs_is_in_an_identity(tmp_path: Path) -> None:
    (tmp_path / "gate_specs.yaml").write_text(GATE)
    spec = sound_spec(tmp_path / "gate_specs.yaml")
    kept = (tmp_path / "cache", tmp_path / "evidence", tmp_path / "ledger")
    with StderrConsole("traced") as console, traced() as seen:
        options = Options("stub", "cpu", "float32", 32, *kept, train_seed=0, recipe=RECIPE)
        runner = Runner(spec, options, Origin("key", ("command",)), console)
        runner.evaluate_shared("traced", 4)
        evidence = runner.evidence("traced", 4)
    assert [check.id for check in evidence.checks if check.passed is False] == []
    closures = Recording()
    met: set[Symbol] = set()
    with reading(closures):
        deciding_code(spec, "traced", task_of(spec))
        met |= closures.met
        training_code(RECIPE, task_of(spec))
        met |= closures.met
    outside = {
        (module, name)
        for module, name in seen
        if module not in SHOWN_ONLY
        and not {Symbol(module, name), Symbol(module, WHOLE)} & met
        # a module's own statements, and what dataclasses make
        and not name.startswith(("<", "__"))
    }
    assert len(seen) > 300
    assert sorted(outside) == []
