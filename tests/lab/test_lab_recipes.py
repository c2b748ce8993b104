"""Every recipe of the documented grids goes through the gate on the stub, cut short."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lpca.base.errors import ExitCode
from lpca.commands.cli import main

FOLDER = Path(__file__).parents[2] / "examples" / "lab"


@pytest.mark.slow(seconds=40)
@pytest.mark.parametrize("name", ["architectures", "objectives"])
def test_every_row_is_measured(name, tmp_path, monkeypatch):
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("gate_specs.yaml").write_text((FOLDER / "gate_specs.yaml").read_text())
    text = (FOLDER / f"{name}.yaml").read_text().replace("seeds: [0, 1, 2]", "seeds: [0]")
    Path("grid.yaml").write_text(re.sub(r"steps: \d+", "steps: 2", text))
    assert main(["lab", "grid.yaml", "--receiver", "stub"]) in (ExitCode.PASS, ExitCode.INVALID)
    codecs = json.loads(Path(".lpca/lab/grid/table.json").read_text())["codecs"]
    assert {one["verdict"] for one in codecs} <= {"PASS", "FAIL", "INCONCLUSIVE", "INVALID"}
    pays = "not with alpha divided by 80"
    assert [
        one["why"] for one in codecs if one["verdict"] == "INVALID" and pays not in one["why"]
    ] == []
