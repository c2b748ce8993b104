"""A codec measured from an order gives the evidence that this machine would have written."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest

from lpca.base.errors import ExitCode, RequestError
from lpca.commands.cli import main
from lpca.gate.plan import LEDGER, sound_spec, task_of
from lpca.lab.engines import ENGINES, Job, engine_of
from lpca.lab.engines.ray import (
    MeasuredThere,
    RayEngine,
    is_overdrawn,
    keys_there,
    ledger_texts,
    measure_there,
    order_of,
)
from lpca.lab.grid import read_grid
from lpca.lab.results import Results, without_shown_with
from lpca.validity.ledger import GateLedger, LedgerEntry
from lpca.validity.ledger_file import LedgerFile

LEDGER_CHECKS = ("ledger_intact", "checkpoints_accounted", "looks_accounted")


class Quiet:
    def tell(self, text):
        pass


@pytest.fixture
def here(lab, monkeypatch):
    monkeypatch.setenv("LPCA_CACHE", str(lab.cache))
    monkeypatch.chdir(lab.path)
    return lab


@pytest.fixture
def order(here):
    grid = read_grid("grid.yaml")
    spec = sound_spec(grid.spec)
    return order_of(grid, spec, task_of(spec), "stub", {"device": "cpu"}, 32)


class Cluster:
    """Ray, as far as the engine asks it: whatever is sent comes back, not measured."""

    def __init__(self, gpus=0):
        self.gpus, self.taken, self.sent = gpus, [], []

    def cluster_resources(self):
        return {"CPU": 4.0, "GPU": float(self.gpus)}

    def remote(self, **taken):
        self.taken.append(taken)
        return lambda function: SimpleNamespace(remote=self.start)

    def start(self, *arguments):
        self.sent.append(arguments)
        return len(self.sent)

    def put(self, value):
        return value

    def wait(self, started, timeout):
        return started[:1], started[1:]

    def get(self, started):
        return MeasuredThere("there", reason="the machine was lost")


def engine_for(order, keys, ray=None):
    grid = read_grid("grid.yaml")
    spec = without_shown_with(sound_spec(grid.spec), grid.gate)
    out = grid.spec.resolve().parent / "out"
    job = Job("ray", grid, spec, out, "stub", {"device": "cpu"}, 32, Quiet())
    return RayEngine(job, Results(grid, spec, out, keys), order, ray or SimpleNamespace())


def without_time(evidence):
    dropped = ("written", "seconds", "machine", "command", "cache", "content_sha256")
    kept = {name: value for name, value in evidence.items() if name not in dropped}
    kept["codec"] = {**kept["codec"], "trained": None, "origin": None}
    for numbers in kept["conditions"].values():
        del numbers["seconds"]
    return kept


def test_the_evidence_is_the_one_of_a_local_run(here, order, whole, tmp_path, monkeypatch):
    keys = keys_there(order)
    key = keys.by_label["prefix, k=4, seed 1"]
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "elsewhere"))
    outcome = measure_there(order, 3, key, {})
    assert outcome.reason == ""
    local = whole.out / "evidence" / key[:16] / "main-k4.json"
    found, wanted = json.loads(outcome.evidence), json.loads(local.read_text())
    for one in (found, wanted):
        # how many looks came before is the one thing that the order of a grid changes
        one["checks"] = [c for c in one["checks"] if c["id"] not in LEDGER_CHECKS]
        assert one.pop("ledger")["share"] == 1 / 8
    assert without_time(found) == without_time(wanted)
    assert [json.loads(line)["kind"] for line in outcome.ledger_lines] == ["look", "verdict"]
    assert json.loads(outcome.ledger_lines[1])["run"] == key
    assert not (here.path / LEDGER).exists(), "the machine that measures keeps nothing"

    engine = engine_for(order, keys)
    cell = engine.results.grid.cells()[3]
    for _ in range(2):
        assert engine.keep(cell, outcome)
    assert engine.results.summary(cell).verdict == "INCONCLUSIVE"
    (book,) = (here.path / LEDGER).glob("*.jsonl")
    assert len(book.read_text().splitlines()) == 2, "a result that comes twice counts once"
    again = measure_there(order, 3, key, ledger_texts(here.path / LEDGER))
    assert again.ledger_lines == ()


def test_a_machine_that_would_compute_another_codec_does_not(order):
    outcome = measure_there(order, 0, "0" * 64, {})
    assert "would compute another codec" in outcome.reason
    assert outcome.evidence == ""


def test_codecs_that_others_left_no_place_for_are_judged_anew(here, order, tmp_path):
    engine = engine_for(order, keys_there(order))
    entry = LedgerEntry(("row",), "r", 4, "c", "r", (1.0, 0.0), "main", 60, ("claim",), 1 / 8)

    def measured(folder, verdict="PASS"):
        """The same codec, judged on another machine beside the ledger as it is now."""
        shutil.copytree(engine.job.ledger, folder)
        before = LedgerFile.read(folder).lines
        with GateLedger.opened(folder, entry, 8) as ledger:
            ledger.keep(verdict, "run")
        lines = LedgerFile.read(folder).lines[len(before) :]
        return MeasuredThere("there", "{}", ledger_lines=tuple(line.text for line in lines))

    with LedgerFile.opened(engine.job.ledger) as ledger:
        ledger.add("commit", {"codec": "", "spec": ""})
    early = measured(tmp_path / "early")
    for index in range(8):
        assert not is_overdrawn(LedgerFile.read(engine.job.ledger), early), index
        another = replace(entry, packets=(0.0, 1.0 + index))
        with GateLedger.opened(engine.job.ledger, another, 8) as ledger:
            ledger.keep("FAIL", "run")
    cell = engine.results.grid.cells()[0]
    before = LedgerFile.read(engine.job.ledger).lines
    assert not engine.keep(cell, early), "its place is taken: it is sent anew"
    assert not engine.results.evidence(cell).exists()
    assert LedgerFile.read(engine.job.ledger).lines == before
    late = measured(tmp_path / "late", "INVALID")
    assert engine.keep(cell, late)
    assert len(LedgerFile.read(engine.job.ledger).lines) == len(before) + 2


def test_each_codec_is_sent_once_with_its_place_in_the_grid_and_its_key(here, order):
    keys, cluster = keys_there(order), Cluster()
    engine = engine_for(order, keys, cluster)
    cells = list(engine.cells())
    assert sorted(cluster.sent, key=lambda sent: sent[1]) == [
        (order, index, keys.by_label[cell.label], {})
        for index, cell in enumerate(engine.results.grid.cells())
    ]
    assert len(cells) == len(cluster.sent) == 4


@pytest.mark.parametrize(
    ("device", "gpus", "taken"), [("cuda", 2, 1), ("auto", 2, 1), ("auto", 0, 0), ("cpu", 2, 0)]
)
def test_a_codec_takes_a_gpu_where_there_is_one_to_take(here, order, device, gpus, taken):
    cluster = Cluster(gpus)
    assert list(
        engine_for(replace(order, how={"device": device}), keys_there(order), cluster).cells()
    )
    assert [one["num_gpus"] for one in cluster.taken] == [taken]


def test_a_cluster_without_the_gpu_that_was_asked_for_is_refused(here, order):
    engine = engine_for(replace(order, how={"device": "cuda"}), keys_there(order), Cluster())
    with pytest.raises(RequestError, match="--device cuda: no machine of the cluster has a GPU"):
        list(engine.cells())


def test_engines_are_found_by_their_scheme():
    assert list(ENGINES) == ["local", "ray"]
    assert engine_of("local") is ENGINES["local"]
    assert engine_of("ray") is engine_of("ray://head:10001") is RayEngine
    for wrong in ("spark", "ray:", "ray://", "raysomething", "local://here"):
        with pytest.raises(RequestError, match="allowed: local, ray, ray://HOST:PORT"):
            engine_of(wrong)


def test_without_ray_one_line_says_what_to_install(here, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert main(["lab", "grid.yaml", "--engine", "ray"]) == ExitCode.USAGE_ERROR
    error = capsys.readouterr().err
    assert error == ("--engine ray: the package ray is not installed; pip install 'lpca[ray]'\n")
    assert main(["lab", "grid.yaml", "--engine", "spark"]) == ExitCode.USAGE_ERROR
    assert "allowed: local, ray" in capsys.readouterr().err


def test_a_task_file_outside_of_the_project_has_no_place_elsewhere(here):
    grid = read_grid("grid.yaml")
    spec = sound_spec(grid.spec)
    rows = [{"message": "m", "context": "c {message}", "answer": "a"}]
    (here.path.parent / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = SimpleNamespace(contents=lambda: {"file": "hash"})
    outside = replace(spec, task=replace(spec.task, settings={"file": "../rows.jsonl"}))
    with pytest.raises(RequestError, match="stands outside of the spec's folder"):
        order_of(grid, outside, task, "stub", {"device": "cpu"}, 32)
    (here.path / "rows.jsonl").write_text("{}")
    inside = replace(spec, task=replace(spec.task, settings={"file": "rows.jsonl"}))
    assert order_of(grid, inside, task, "stub", {"device": "cpu"}, 32).files == {
        "rows.jsonl": b"{}"
    }
