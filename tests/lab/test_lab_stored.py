"""A lab believes its own folder only as far as each result comes to the same once more."""

from __future__ import annotations

import json
import shutil

from lpca.base.errors import ExitCode
from lpca.base.hashing import with_hash
from lpca.commands.cli import main


def test_a_verdict_that_somebody_wrote_is_measured_again(whole, tmp_path, monkeypatch, capsys):
    shutil.copytree(whole.path, tmp_path / "lab")
    monkeypatch.chdir(tmp_path / "lab")
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "lab" / "cache"))
    found = {}
    for codec in whole.table()["codecs"][2:]:
        path = tmp_path / "lab" / whole.out.relative_to(whole.path) / codec["evidence"]
        held = found[path] = json.loads(path.read_text())
        assert held["verdict"] == "INCONCLUSIVE"
    (damaged, edited) = found
    damaged.write_text(damaged.read_text().replace("INCONCLUSIVE", "PASS"))
    passed = {**found[edited], "verdict": "PASS"}
    passed["criteria"] = [{**one, "verdict": "PASS"} for one in passed["criteria"]]
    edited.write_text(json.dumps(with_hash(passed)))
    assert main(["lab", "grid.yaml"]) == ExitCode.PASS
    told = [line for line in capsys.readouterr().err.splitlines() if "measured again" in line]
    assert len(told) == 2
    for path, held in found.items():
        (line,) = [one for one in told if path.parent.name in one]
        assert "is 'PASS" in line
        assert json.loads(path.read_text())["verdict"] == held["verdict"]
