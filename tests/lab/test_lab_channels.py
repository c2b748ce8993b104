"""Rows of a grid that are a user's own channels: measured like the others, and once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lab_project import SPEC

from lpca.base.errors import ExitCode
from lpca.commands.cli import main

CHANNEL = '''
from lpca.channel import Packet, Port


class Start:
    """The message's first tokens."""

    trained_on = ()

    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k
        self.port = Port("ids", k, vocabulary=receiver.embedding.num_embeddings)

    def send(self, views):
        return [Packet(ids=self.receiver.message_ids(one.message)[: self.k]) for one in views]


class Broken(Start):
    def send(self, views):
        raise ValueError("no packet today")
'''
GRID = """
version: 1
runs:
  - {name: one, gate: main, receiver: stub, rows: [start]}
  - {name: other, gate: main, receiver: stub}
k: 4
seeds: [0, 1]
rows:
  - {name: start, channel: "my_channel:Start", k: 24}
  - {name: broken, channel: "my_channel:Broken"}
"""


@pytest.mark.slow
def test_a_channel_is_measured_once_and_one_that_breaks_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("gate_specs.yaml").write_text(SPEC)
    Path("grid.yaml").write_text(GRID)
    Path("my_channel.py").write_text(CHANNEL)
    assert main(["lab", "grid.yaml", "--run", "one"]) == ExitCode.PASS
    table = json.loads(Path(".lpca/lab/grid/one/table.json").read_text())
    [codec] = table["codecs"]
    assert (codec["row"], codec["k"], codec["origin"]) == ("start", 24, "own")
    assert table["recipes"] == {"start": {"channel": "my_channel:Start"}}
    normal = codec["conditions"]["normal"]
    assert normal["successes"] > codec["conditions"]["shuffle"]["successes"]
    assert normal["bits"] == codec["bits"]["bits"] > 0
    capsys.readouterr()
    assert main(["lab", "grid.yaml", "--run", "one"]) == ExitCode.PASS
    assert "codec 1 of" not in capsys.readouterr().err, "it goes on"
    Path("my_channel.py").write_text(CHANNEL.replace(": self.k]", ": self.k - 1]"))
    assert main(["lab", "grid.yaml"]) == ExitCode.NOT_MEASURED
    told = capsys.readouterr()
    assert "start, k=24, seed 0: codec 1 of 1" in told.err, "its code has changed"
    assert "no packet today" in told.out


def test_a_receiver_is_named_for_one_run_alone(tmp_path, capsys):
    (tmp_path / "gate_specs.yaml").write_text(SPEC)
    (tmp_path / "grid.yaml").write_text(GRID)
    assert main(["lab", str(tmp_path / "grid.yaml"), "--receiver", "stub"]) == ExitCode.USAGE_ERROR
    assert "--receiver: allowed for one run of the grid" in capsys.readouterr().err
