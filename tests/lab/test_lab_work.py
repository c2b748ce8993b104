"""`lpca lab` measures each codec once: through a kill, beside another process, past a break."""

from __future__ import annotations

import json
import signal

import pytest

from lpca.base.errors import ExitCode
from lpca.codec.architectures.baselines import StaticPrefix
from lpca.codec.base import CodecError
from lpca.commands.cli import main

PLACES = [("answer", 0), ("answer", 1), ("prefix", 0), ("prefix", 1)]


def test_two_rows_and_two_seeds_give_a_table(whole):
    code, out, err = whole.ended
    assert code == ExitCode.PASS, err
    table = whole.table()
    assert [(c["row"], c["seed"]) for c in table["codecs"]] == PLACES
    assert [c["verdict"] for c in table["codecs"]] == ["PASS", "PASS"] + ["INCONCLUSIVE"] * 2
    assert [c["signature"] for c in table["codecs"]][:2] == ["transmits"] * 2
    assert table["complete"] is True
    assert "answer    4" in out
    assert {path.name for path in whole.out.iterdir()} >= {"table.md", "table.csv", "forest.svg"}


def test_the_evidence_is_a_gates_own(whole):
    for codec in whole.table()["codecs"]:
        held = json.loads((whole.out / codec["evidence"]).read_text())
        assert held["verdict"] == codec["verdict"]
        assert held["codec"]["seed"] == codec["seed"]
        assert [c["id"] for c in held["checks"] if c["passed"] is False] == []
        details = {c["id"]: c["detail"] for c in held["checks"]}
        assert "at 1/8 of alpha" in details["checkpoints_accounted"]
        likelihood = held["conditions"]["normal"]["likelihood"]
        assert codec["conditions"]["normal"]["successes"] == likelihood["successes"]


def test_what_no_codec_has_a_part_in_is_computed_once(whole):
    err = whole.ended[2]
    assert err.count("p0, p1, embed, null: 240 outcomes in") == 1
    blocks = list(whole.cache.glob("outcomes/??/*.json"))
    # four shared conditions; normal, random and shuffle of four codecs; a prefix that never sees a
    # message has one block for normal and shuffle
    assert len(blocks) == 4 + 2 * 3 + 2 * 2


def test_again_measures_nothing_and_gives_the_same_table(whole):
    before, table = whole.evidence(), (whole.out / "table.json").read_bytes()
    code, _, err = whole.finish(whole.start())
    assert code == ExitCode.PASS
    assert "codec 1 of 4" not in err
    assert whole.evidence() == before
    assert (whole.out / "table.json").read_bytes() == table


@pytest.mark.slow
def test_killed_and_run_again(lab, whole):
    code, _ = lab.killed_when(lab.start(), "codec 3 of 4")
    assert code == -signal.SIGKILL
    done = lab.evidence()
    assert len(done) == 2
    assert lab.table()["complete"] is False, "what is measured stands in the table already"
    code, _, err = lab.finish(lab.start())
    assert code == ExitCode.PASS
    assert err.count("steps in") == 2, "two codecs were left to train"
    assert {path: lab.evidence()[path] for path in done} == done
    assert lab.table() == whole.table()


@pytest.mark.slow
def test_interrupted_in_the_midst_of_training_it_goes_on(lab):
    grid = lab.path / "grid.yaml"
    grid.write_text(grid.read_text().replace("steps: 12", "steps: 400").replace("[0, 1]", "0"))
    process = lab.start()
    code, err = lab.killed_when(process, "of 400 steps", signal.SIGINT)
    assert code == ExitCode.INTERRUPTED
    assert "the same command goes on from here" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_two_processes_share_the_work(lab, whole):
    processes = [lab.start(), lab.start()]
    ended = [lab.finish(one) for one in processes]
    assert [code for code, _, _ in ended] == [ExitCode.PASS] * 2
    said = "".join(err for _, _, err in ended)
    assert said.count("steps in") == 4, "each codec was trained once"
    assert said.count("p0, p1, embed, null: 240 outcomes in") == 1
    assert said.count("outcomes in") == 5
    assert lab.table() == whole.table()


class TestInProcess:
    @pytest.fixture
    def here(self, lab, monkeypatch):
        monkeypatch.setenv("LPCA_CACHE", str(lab.cache))
        monkeypatch.chdir(lab.path)
        return lab

    def test_a_row_that_breaks_leaves_the_others_alone_and_is_tried_again(
        self, here, monkeypatch, capsys, whole
    ):
        def broken(self, messages):
            raise CodecError("this architecture\nis broken")

        with monkeypatch.context() as patch:
            patch.setattr(StaticPrefix, "encode", broken)
            assert main(["lab", "grid.yaml"]) == ExitCode.NOT_MEASURED
        codecs = here.table()["codecs"]
        assert [c["verdict"] for c in codecs] == ["PASS", "PASS"] + ["NOT MEASURED"] * 2
        assert codecs[2]["why"] == "CodecError: this architecture is broken"
        assert codecs[2]["evidence"] is None
        assert "prefix, k=4, seed 0: NOT MEASURED" in capsys.readouterr().out
        assert main(["lab", "grid.yaml"]) == ExitCode.PASS
        assert here.table() == whole.table()

    def test_an_invalid_gate_is_no_result(self, here):
        spec = here.path / "gate_specs.yaml"
        text = spec.read_text().replace("claim: p1 - p0 > 0.20", "claim: p0 - p1 > 0.05")
        text = text.replace("{p0: 0.25, p1: 0.95, normal", "{p0: 0.25, normal")
        spec.write_text(text.replace("expect: {p0: 0.25, p1: 0.95}", "expect: {p0: 0.34, p1: 0.0}"))
        grid = here.path / "grid.yaml"
        grid.write_text(grid.read_text().replace("[0, 1]", "[0]"))
        assert main(["lab", "grid.yaml"]) == ExitCode.INVALID
        assert {c["verdict"] for c in here.table()["codecs"]} == {"INVALID"}
        assert "normal" not in here.table()["rows"][0]["numbers"]

    @pytest.mark.slow
    def test_a_spec_that_changed_is_judged_anew_from_outcomes_that_are_there(self, here, capsys):
        assert main(["lab", "grid.yaml"]) == ExitCode.PASS
        capsys.readouterr()
        spec = here.path / "gate_specs.yaml"
        spec.write_text(spec.read_text().replace("normal - p0 > 0.10", "normal - p0 > 0.15"))
        assert main(["lab", "grid.yaml"]) == ExitCode.PASS
        err = capsys.readouterr().err
        assert "steps in" not in err
        assert "outcomes in" not in err
        for codec in here.table()["codecs"]:
            held = json.loads((here.out / codec["evidence"]).read_text())
            assert "normal - p0 > 0.15" in [one["claim"] for one in held["criteria"]]
