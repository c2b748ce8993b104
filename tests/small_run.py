"""A gate of one claim on 24 episodes, and a console for runs of it that says nothing."""

from __future__ import annotations

from pathlib import Path

SPEC = """
version: 1
task: {{name: {task}, seed: 5}}
evaluation: {{n: 24, confidence: 0.95, equivalence_confidence: 0.90, {how}}}
gates:
  base:
    title: Text helps
    conditions: [p0, p1]
    expect: {{p0: 0.25, p1: 0.95}}
    criteria:
      - {{id: text_helps, claim: p1 - p0 > 0.20}}
"""


def written(folder: Path, task: str, how: str) -> Path:
    """The spec's file in a folder: of a task, with `how` among what `evaluation` says."""
    path = folder / "gate_specs.yaml"
    path.write_text(SPEC.format(task=task, how=how))
    return path


class Silent:
    """A console that says nothing."""

    def tell(self, text: str) -> None:
        """Nothing."""

    def training(self, progress: object, steps: int, what: str = "codec") -> None:
        """Nothing is trained."""

    def evaluating(self, label: str) -> object:
        return lambda done, total: None
