"""A user's project of gates, for tests that run pytest on it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from unittest import mock

import warm

ROOT = Path(__file__).parents[1]

QUICK = ["-p", "no:hypothesispytest", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
"""A plugin that only our own tests need, and that takes a second to end a run; and what pytest says
of a process that has lpca in memory before it begins, as forked ones have."""
HEAD = """
version: 1
task: {name: trip, options: 4, seed: 5}
evaluation: {n: 60, score: likelihood, confidence: 0.95, equivalence_confidence: 0.90}
gates:
"""
BASE = """
  base:
    title: The task is valid
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.25, p1: 0.95}
    criteria:
      - {id: text_helps, claim: p1 - p0 > 0.20}
"""
WRONG = """
  wrong:
    title: Text hurts
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.34, p1: 0.0}
    criteria:
      - {id: text_hurts, claim: p0 - p1 > 0.10}
"""
MAIN = """
  main:
    title: The channel carries the message
    answers: seen
    requires: [base]
    conditions: [p0, p1, embed, normal, null, random, shuffle, static]
    expect:
      {p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, random: 0.25, shuffle: 0.02, static: 0.25}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.10}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""


class Project:
    """A user's project with a spec; `run` is `pytest gates/` on the stub."""

    def __init__(self, pytester):
        self.pytester, self.path = pytester, pytester.path
        pytester.makeconftest((ROOT / "conftest.py").read_text())
        pytester.makeini("[pytest]\naddopts = --strict-markers")
        (self.path / "gates").mkdir()
        for name in ("test_leaks.py", "test_criteria.py"):
            (self.path / "gates" / name).write_text((ROOT / "gates" / name).read_text())
        self.write(BASE + MAIN)

    def write(self, gates, head=HEAD):
        (self.path / "gate_specs.yaml").write_text(head + gates)

    def run(self, *arguments, in_process=True):
        where = [] if any(a.startswith("gates") for a in arguments) else ["gates"]
        command = [*where, "--receiver", "stub", *arguments]
        command += QUICK
        run = self.pytester.runpytest if in_process else self.pytester.runpytest_subprocess
        with mock.patch.object(subprocess, "Popen", warm.Popen):  # workers are forked as well
            return run(*command)

    def evidence(self, name="main-k4"):
        return json.loads((self.path / ".lpca" / "evidence" / f"{name}.json").read_text())


def two_senders(count):
    """Rows whose answer only the second of two senders tells."""
    towns = ("Oslo", "Rome")
    return [
        {
            "message": [f"Trip {i} is booked.", f"Trip {i} is to {towns[i % 2]}."],
            "context": f"Trip {i}: Oslo, Rome.{{message:2}} and{{message:1}}\nTo",
            "answer": towns[i % 2],
            "options": [*towns],
            "public": f"Trip {i}",
        }
        for i in range(count)
    ]
