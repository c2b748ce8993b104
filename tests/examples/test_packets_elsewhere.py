"""Packets that a program without lpca and torch has made, from `lpca views` to a verdict."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gate_project import BASE, HEAD, ROOT, Project
from own_codec import OPEN
from safetensors.torch import load_file, save_file

from lpca.api import run_gate
from lpca.base.errors import RequestError
from lpca.base.hashing import hash_data, hash_file
from lpca.commands.cli import main
from lpca.stats.verdicts import Verdict

PAGE = (ROOT / "docs" / "packets.md").read_text(encoding="utf-8")
[EXAMPLE] = re.findall(r'```python title="numpy_channel.py"\n(.*?)```', PAGE, re.S)
PACKETS = "packets.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which the page's program has answered the views of gate `open`."""
    folder = tmp_path_factory.mktemp("elsewhere")
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("gate_specs.yaml").write_text(HEAD + BASE + OPEN)
        assert main(["views", "--out", "views.jsonl"]) == 0
        Path("numpy_channel.py").write_text(EXAMPLE)
        (folder / "model").symlink_to(ROOT / "lpca" / "receivers" / "stub")
        # without lpca on its path, and torch as if it were not installed
        blocked = "import sys; sys.modules['torch'] = sys.modules['lpca'] = None; "
        run = f"{blocked}exec(open('numpy_channel.py').read())"
        clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        subprocess.run([sys.executable, "-c", run], check=True, env=clean)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(pytester, monkeypatch, tmp_path, made):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    own = Project(pytester)
    own.write(BASE + OPEN)
    shutil.copy(made / PACKETS, own.path / PACKETS)
    return own


@pytest.fixture(scope="module")
def stub_table():
    return load_file(ROOT / "lpca" / "receivers" / "stub" / "model.safetensors")[
        "model.embed_tokens.weight"
    ]


def gated(project, *more):
    return project.run("-m", "open", "--k", "4", "--packets", PACKETS, *more)


def test_the_pages_program_needs_neither_lpca_nor_torch_and_its_packets_are_gated(project):
    assert gated(project).ret == 0
    evidence = project.evidence("open-k4")
    assert [one["id"] for one in evidence["checks"] if one["passed"] is False] == []
    codec = evidence["codec"]
    assert (codec["origin"], codec["isolation"]) == ("packets", "made elsewhere")
    assert (codec["architecture"], codec["weights"]) == (PACKETS, hash_file(project.path / PACKETS))
    rates = {
        name: one["likelihood"]["successes"] / one["n"]
        for name, one in evidence["conditions"].items()
    }
    assert rates["normal"] > 0.6
    assert rates["shuffle"] < rates["p0"]


@pytest.mark.slow
def test_from_python_too_and_other_packets_are_another_look(project):
    os.chdir(project.path)
    first = run_gate("open", receiver="stub", device="cpu", k=4, packets=PACKETS)
    assert first.verdict is Verdict.PASS
    packets = load_file(PACKETS)
    save_file({name: -one for name, one in packets.items()}, "others.safetensors")
    second = run_gate("open", receiver="stub", device="cpu", k=4, packets="others.safetensors")
    assert second.verdict is not Verdict.PASS
    assert second.evidence["ledger"]["spent"] == 2 * first.evidence["ledger"]["spent"]
    with pytest.raises(RequestError, match="packets: allowed without codec"):
        run_gate("open", receiver="stub", k=4, packets=PACKETS, codec="own:Codec")


ALL = """
  open:
    title: With all controls
    answers: all
    requires: [base]
    conditions: [p0, p1, normal, null, random, shuffle, same_answer, empty, mean, shaped]
    expect:
      {p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, random: 0.25, shuffle: 0.02, same_answer: 0.9,
        empty: 0.25, mean: 0.25, shaped: 0.25}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.10}
      - {id: above_null, claim: normal - null > 0}
      - {id: above_shuffle, claim: normal - shuffle > 0}
"""


@pytest.mark.slow
def test_all_that_a_run_asks_for_is_among_the_views(project, monkeypatch, stub_table):
    project.write(BASE + ALL)
    monkeypatch.chdir(project.path)
    assert main(["views", "--out", "views.jsonl"]) == 0
    views = list(map(json.loads, Path("views.jsonl").read_text().splitlines()))
    made = {}
    for view in views:
        # as many vectors for each, that a mean may be taken
        rows = [hash_data([view["messages"], place]) for place in range(4)]
        made[f"{view['id']}.vectors"] = stub_table[[int(row, 16) % 1280 for row in rows]]
    save_file(made, PACKETS)
    gated(project)
    evidence = project.evidence("open-k4")
    assert [one["id"] for one in evidence["checks"] if one["passed"] is False] == []
    assert evidence["verdict"] in ("FAIL", "INCONCLUSIVE"), "a hash tells B nothing"
    [one] = (one for one in evidence["checks"] if one["id"] == "encoding_repeatable")
    assert one["passed"] is True
    assert "messages under two ids, packets alike" in one["detail"]


def test_what_does_not_answer_ends_in_a_line_before_anything_is_measured(project):
    found = load_file(project.path / PACKETS)
    save_file(dict(list(found.items())[1:]), project.path / PACKETS)
    result = gated(project, "-k", "above_p0")
    assert result.ret == 4
    result.stdout.fnmatch_lines([f"*{PACKETS}: 1 of * packets are missing, first *"])
    assert not (project.path / ".lpca" / "evidence" / "open-k4.json").exists()
    assert not list((project.path / ".lpca").rglob("looks.jsonl"))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--packets", "none.safetensors"], "--packets none.safetensors: no such file"),
        (["--packets", PACKETS, "--codec", "a:b"], "--packets and --codec: allowed: one of them"),
        (["--packets", PACKETS, "--train-seed", "1"], "--packets and --train-seed: allowed: one"),
        (["--packets", PACKETS, "--in-process"], "--in-process: allowed: beside --codec"),
        (["--packets", PACKETS, "--k", "4,8"], "--packets and --k 4,8: allowed: one k"),
    ],
)
def test_options_that_exclude_each_other(project, more, told):
    result = project.run("-m", "open", *more)
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"*{told}*"])


def test_episodes_that_are_drawn_by_the_packets_cannot_be(project):
    spec = (project.path / "gate_specs.yaml").read_text()
    (project.path / "gate_specs.yaml").write_text(spec.replace("seed: 5", "seed: drawn"))
    result = gated(project)
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*seed is drawn, which needs the packets first*"])
