"""A project with a gate of every verdict, none of which needs a codec."""

from __future__ import annotations

import json

from gate_project import BASE, ROOT, Project

GATES = (
    BASE
    + """\
  wrong:
    title: Text hurts
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.34, p1: 0.0}
    criteria:
      - {id: text_hurts, claim: p0 - p1 > 0.10, why: a claim that the data contradict}
  close:
    title: Text helps by just what it does
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.15, p1: 1.0}
    criteria:
      - {id: large, claim: p1 - p0 > 0.70}
  unread:
    title: Nothing is read where a required gate does not pass
    answers: seen
    requires: [wrong]
    conditions: [p0, p1]
    criteria:
      - {id: text_helps, claim: p1 - p0 > 0.20}
"""
)


class AllureProject(Project):
    """A project with a gate of every verdict; `results` reads what Allure was told."""

    def __init__(self, pytester, monkeypatch, cache):
        monkeypatch.setenv("LPCA_CACHE", str(cache))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        super().__init__(pytester)
        self.write(GATES)

    def report(self, folder, *arguments, **how):
        return self.run("--alluredir", str(self.path / folder), *arguments, **how)

    def results(self, folder):
        found = [json.loads(path.read_text()) for path in self.files(folder, "-result.json")]
        return {result["historyId"]: result for result in found}

    def files(self, folder, ending):
        return sorted(p for p in (self.path / folder).iterdir() if p.name.endswith(ending))
