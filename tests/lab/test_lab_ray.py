"""A grid on a real Ray cluster of two nodes, of which one is killed in the midst of its work."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time

import pytest
import warm
from gate_project import ROOT
from lab_project import Lab

from lpca.base.errors import ExitCode

pytestmark = [
    pytest.mark.slow(seconds=65),
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="ray is not installed: lpca[ray]"
    ),
]
STEPS = 150
"""Of either recipe: long enough to be killed in the midst of one, whichever the node was given."""


class Nodes:
    """Two machines, as far as Ray can tell: a core and a cache of its own each."""

    def __init__(self, folder):
        from ray.cluster_utils import Cluster

        self.caches = [folder / "first", folder / "second"]
        self.cluster = Cluster()
        self.nodes = [
            self.cluster.add_node(
                num_cpus=1,
                object_store_memory=100_000_000,
                env_vars={
                    "LPCA_CACHE": str(cache),
                    "PYTHONPATH": str(ROOT),
                    # others may be at work on this machine
                    "RAY_worker_niceness": "0",
                },
            )
            for cache in self.caches
        ]
        self.cluster.wait_for_nodes()

    def kill_the_second(self):
        self.cluster.remove_node(self.nodes[1], allow_graceful=False)


@pytest.fixture
def nodes(tmp_path):
    import ray

    made = Nodes(tmp_path)
    yield made
    ray.shutdown()
    made.cluster.shutdown()


def project(folder, cache):
    folder.mkdir()
    return Lab(folder, cache)


@pytest.fixture
def lab(tmp_path):
    return project(tmp_path / "project", tmp_path / "own")


def start(lab, *engine, address=None):
    environment = {**os.environ, "LPCA_CACHE": str(lab.cache), "PYTHONPATH": str(ROOT)}
    if address:
        environment["RAY_ADDRESS"] = address
    return warm.Popen(
        [sys.executable, "-m", "lpca", "lab", "grid.yaml", *engine],
        cwd=lab.path,
        env={**environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until(true, process, seconds=150):
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def looks(lab):
    (book,) = (lab.path / ".lpca" / "ledger").glob("*.jsonl")
    lines = [json.loads(line) for line in book.read_text().splitlines()]
    return [line for line in lines if "verdict" in line]


def decided(lab):
    """What each codec's evidence says, by its key."""
    made = {path.parent.name: json.loads(path.read_text()) for path in lab.evidence()}
    return {
        key: [one["verdict"], one["criteria"], one["episodes"], one["hashes"]]
        for key, one in made.items()
    }


def test_a_killed_node_is_made_up_for(lab, nodes):
    first, second = nodes.caches
    grid = lab.path / "grid.yaml"
    grid.write_text(
        grid.read_text().replace("steps: 12", f"steps: {STEPS}").replace(", steps: 6", "")
    )
    process = start(lab, "--engine", "ray", address=nodes.cluster.address)
    until(lambda: any(second.glob("codecs/*.snapshot")), process)
    (begun,) = {path.name.removesuffix(".snapshot") for path in second.glob("codecs/*.snapshot")}
    nodes.kill_the_second()
    code, _, err = lab.finish(process)
    assert code == ExitCode.PASS, err

    assert not (second / "codecs" / begun / "manifest.json").exists(), "it was killed in its work"
    assert (first / "codecs" / begun / "manifest.json").exists(), "the other node did it"
    table = lab.table()
    assert table["complete"] is True
    assert [c["verdict"] for c in table["codecs"]] == ["PASS", "PASS"] + ["INCONCLUSIVE"] * 2
    assert err.count("codec 1 of 4") == err.count("codec 4 of 4") == 1
    runs = [look["run"] for look in looks(lab)]
    assert len(runs) == len(set(runs)) == 4, "nothing is lost, nothing counted twice"

    # the same files as every engine's: nothing is left for this one to do
    evidence, book = lab.evidence(), looks(lab)
    code, _, err = lab.finish(start(lab))
    assert code == ExitCode.PASS
    assert "codec 1 of 4" not in err
    assert (lab.evidence(), looks(lab)) == (evidence, book)
    assert not (lab.cache / "codecs").exists(), "this machine trained none"


def test_a_killed_driver_goes_on(lab, nodes, tmp_path):
    process = start(lab, "--engine", "ray", address=nodes.cluster.address)
    code, err = lab.killed_when(process, "codec 2 of 4")
    assert code < 0, err
    done = lab.evidence()
    assert len(done) >= 2
    code, _, err = lab.finish(start(lab, "--engine", "ray", address=nodes.cluster.address))
    assert code == ExitCode.PASS, err
    assert {path: lab.evidence()[path] for path in done} == done
    assert len(looks(lab)) == 4

    one = project(tmp_path / "alone", tmp_path / "its own")
    code, _, err = one.finish(start(one))
    assert code == ExitCode.PASS, err
    assert decided(one) == decided(lab), "a cluster decides as this machine does"


def test_a_cluster_that_does_not_answer_is_one_line(lab):
    process = start(lab, "--engine", "ray://127.0.0.1:1")
    code, out, err = lab.finish(process)
    assert (code, out) == (ExitCode.USAGE_ERROR, "")
    (line,) = err.splitlines()
    assert line.startswith("--engine ray://127.0.0.1:1: no cluster can be joined: ")
