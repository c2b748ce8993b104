"""The channels of examples/channels, each gated end to end on the stub."""

from __future__ import annotations

import ast

import pytest
from gate_project import BASE, ROOT, Project
from own_codec import OPEN

CHANNELS = {
    "low_rank:LowRank": 8,
    "content_words:ContentWords": 8,
    "keywords:Keywords": 8,
    "two_models:TwoModels": 12,
}
"""By name the most positions of a packet."""
FOLDER = ROOT / "examples" / "channels"


@pytest.fixture
def project(pytester, monkeypatch, tmp_path):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(ROOT))
    made = Project(pytester)
    made.write(BASE + OPEN)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANNELS)
def test_a_channel_carries_the_message(project, name):
    k = CHANNELS[name]
    result = project.run("-m", "open", "--k", str(k), "--codec", f"examples.channels.{name}")
    evidence = project.evidence(f"open-k{k}")
    assert [one["id"] for one in evidence["checks"] if one["passed"] is False] == []
    assert result.ret == 0
    assert evidence["codec"]["isolation"] in ("isolated", "separate process")
    right = {
        name: numbers["likelihood"]["successes"] for name, numbers in evidence["conditions"].items()
    }
    assert right["shuffle"] < right["p0"] < right["normal"]


CACHES = """
  caches:
    title: A cache is what is told of it
    answers: seen
    requires: [base]
    conditions: [p0, p1, embed, alone, normal, null, random, shuffle, empty]
    expect:
      {p0: 0.25, p1: 0.95, embed: 0.95, alone: 0.9, normal: 0.9, null: 0.25, random: 0.25,
       shuffle: 0.1, empty: 0.25}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.05}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Cache", "Half"])
def test_a_cache_goes_through_a_whole_gate(project, name):
    project.write(BASE + CACHES)
    name = f"examples.channels.cache:{name}"
    project.run("-m", "caches", "--k", "40", "--codec", name)
    evidence = project.evidence("caches-k40")
    assert [one["id"] for one in evidence["checks"] if one["passed"] is False] == []
    right = {
        name: numbers["likelihood"]["successes"] for name, numbers in evidence["conditions"].items()
    }
    assert right["embed"] == right["p1"]
    assert right["null"] <= right["p0"] + 6
    assert right["empty"] == right["p0"]
    if name.endswith("Cache"):
        assert right["normal"] == right["alone"] > right["shuffle"]


def modules(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield f"{node.module}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_channel_is_short_and_uses_the_public_api_alone(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    found = list(modules(ast.parse(text)))
    assert {name for name in found if name.startswith("lpca")} <= {"lpca.channel"}
    if path.stem == "low_rank":
        assert not {name for name in found if name.partition(".")[0] in ("torch", "transformers")}
