"""Runs kept by what they hold, found by name, listed, and what killed ones left cleared."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_evidence import evidence

from lpca.base.errors import RequestError
from lpca.base.files import PART, clear_unfinished
from lpca.commands.cli import main
from lpca.evidence.files import parse_evidence, read_evidence, write_evidence
from lpca.evidence.runs import keep_run, kept_runs, name_latest, run_id, run_name, run_named


@pytest.fixture(scope="module")
def found():
    return parse_evidence(evidence())


def of_codec(found, name, **changes):
    return replace(found, codec=replace(found.codec, architecture=name), **changes)


@pytest.fixture
def project(tmp_path, monkeypatch, found):
    """Two codecs' runs, and a gate's last one as it was kept before."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ".lpca" / "evidence"
    for name, run, written in (("first", "a", "2026-01-01"), ("second", "b", "2026-01-02")):
        made = of_codec(found, name, run=run, written=f"{written}T10:00:00+00:00")
        keep_run(folder / "runs", made)
        name_latest(folder / "runs", made)
        write_evidence(folder / "main-k4.json", made)
    old = of_codec(found, "old", run="c", written="2025-01-01T10:00:00+00:00")
    write_evidence(folder / "older-k4.json", old)
    return folder


def test_a_name_tells_what_was_measured_and_suits_every_file_system(found):
    made = of_codec(found, "my pack/age:Ünïcode " + "x" * 300)
    made = replace(made, receiver=replace(made.receiver, name="/home/me/models/q"))
    name = run_name(made)
    assert name.startswith(f"main-k{found.k}-")
    assert f"-q-seed{found.codec.seed}-spec{found.hashes.spec[:6]}-" in name
    assert name.endswith(run_id(made))
    assert name.isascii()
    assert not set(name) & set('<>:"/\\|?* ')
    assert len(name) < 150


def test_the_same_measured_again_has_the_same_name_and_another_outcome_another(found):
    again = replace(found, run="other", written="2030", seconds={"load": 9.0}, ledger=None)
    assert run_name(again) == run_name(found)
    other = replace(found, hashes=replace(found.hashes, outcomes="0" * 64))
    assert run_id(other) != run_id(found)


def test_a_second_codec_takes_nothing_from_the_first(project):
    kept = {run.evidence.codec.architecture: run for run in kept_runs(project)}
    assert [*kept] == ["old", "first", "second"], "the oldest first, each once"
    assert read_evidence(kept["first"].path).codec.architecture == "first"
    assert read_evidence(run_named("latest")).codec.architecture == "second"
    assert kept["old"].path == project / "older-k4.json"


def test_a_run_is_found_by_the_unique_beginning_of_its_name_or_id(project):
    first, second = kept_runs(project)[1:]
    for run in (first, second):
        assert run_named(run.name) == run_named(run.id) == run_named(run.id[:6])
        assert run_named(run.name).samefile(run.path)
    with pytest.raises(RequestError, match=r"'main': 2 runs begin so, such as \w{8}, \w{8}"):
        run_named("main")
    with pytest.raises(RequestError, match="no file, and no run begins so; lpca runs lists them"):
        run_named("zzz")
    assert run_named("elsewhere.json").name == "elsewhere.json", "a file that is missing says so"


def test_runs_are_listed_for_people(project, capsys):
    assert main(["runs"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == [
        *("run", "when", "gate", "k", "codec", "receiver", "n", "normal", "shuffle", "verdict")
    ]
    assert [row.split()[5] for row in rows] == ["old", "first", "second"]
    assert main(["runs", "--gate", "none"]) == 0
    assert "no run is kept" in capsys.readouterr().out


def test_runs_are_listed_for_programs(project, capsys, tmp_path):
    assert main(["runs", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["runs", "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert main(["runs", "--format", "parquet", "--out", "runs.parquet"]) == 0
    pyarrow = pytest.importorskip("pyarrow.parquet")
    held = pyarrow.read_table(tmp_path / "runs.parquet").to_pylist()
    for row, text, kept in zip(rows, table, held, strict=True):
        assert row["rate_normal"] == float(text["rate_normal"]) == kept["rate_normal"]
        assert row["codec"] == text["codec"] == kept["codec"]
        assert 0.0 <= row["rate_normal"] <= 1.0
        assert read_evidence(tmp_path / row["file"]).verdict == row["verdict"]


def test_parquet_is_refused_in_one_line_where_it_cannot_be(project, capsys, monkeypatch):
    assert main(["runs", "--format", "parquet"]) == 4
    assert capsys.readouterr().err == "--format parquet: allowed with --out FILE\n"
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert main(["runs", "--format", "parquet", "--out", "x"]) == 4
    assert "pip install 'lpca[parquet]'" in capsys.readouterr().err


def test_an_altered_run_is_named_and_not_listed(project, capsys):
    run = kept_runs(project)[1]
    data = json.loads(run.path.read_text())
    run.path.write_text(json.dumps({**data, "verdict": "PASS", "title": "better"}))
    assert main(["runs"]) == 0
    told = capsys.readouterr()
    assert run.id not in told.out
    assert run.path.name in told.err
    assert "not what was written" in told.err


LIVES = """
import sys, time
from pathlib import Path
from lpca.base.files import scratch_folder
with scratch_folder(Path(sys.argv[1]) / "deep" / "work") as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_left_is_cleared_and_a_living_ones_stays(tmp_path):
    ran = [
        subprocess.Popen([sys.executable, "-c", LIVES, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        killed, lives = (tmp_path / one.stdout.readline().decode().strip() for one in ran)
        (killed / "half").write_text("half")
        half = tmp_path / "deep" / f".x.json.abc{PART}"
        half.write_text("half a file")
        ran[0].kill()
        ran[0].wait()
        clear_unfinished([tmp_path, tmp_path / "absent"])
        assert not killed.exists()
        assert not half.exists()
        assert lives.is_dir()
    finally:
        for one in ran:
            one.kill()
            one.communicate()


ORPHANED = """
import os, subprocess, sys
from pathlib import Path
from lpca.base.files import scratch_folder
with scratch_folder(Path(sys.argv[1]) / "work", inherited=True) as folder:
    child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=-3, stderr=-3)
    print(folder, child.pid, flush=True)
    os._exit(9)
"""


def test_a_child_that_takes_over_a_folder_keeps_it(tmp_path):
    command = [sys.executable, "-c", ORPHANED, str(tmp_path)]
    folder, child = subprocess.run(command, capture_output=True, text=True).stdout.split()
    try:
        clear_unfinished([tmp_path])
        assert Path(folder).is_dir()
    finally:
        os.kill(int(child), signal.SIGKILL)
    for _ in range(100):
        clear_unfinished([tmp_path])
        if not Path(folder).exists():
            break
        time.sleep(0.05)
    assert not Path(folder).exists()
