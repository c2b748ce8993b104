"""`modal_app.py`: its functions, run on this machine, do what `pytest gates/` does."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys

import pytest
from gate_project import BASE, HEAD, MAIN, ROOT

from lpca.evidence.files import parse_evidence
from lpca.stats.verdicts import Verdict

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("modal") is None, reason="modal is not installed: lpca[modal]"
)
SPEC = HEAD + BASE + MAIN
STUB = {"k": 4, "epochs": 1, "receiver": "stub", "dtype": "float32", "spec": SPEC}


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The file as `modal run` loads it, in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("modal"))
        spec = importlib.util.spec_from_file_location("modal_app", ROOT / "modal_app.py")
        made = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "modal_app", made)
        spec.loader.exec_module(made)
        yield made


@pytest.fixture(scope="module")
def evidence(app):
    """Train, evaluate and gate, in the order in which `modal run` does."""
    made = {"train": app.train.local(**STUB), "evaluate": app.evaluate.local("main", **STUB)}
    made["ledger before"] = list((app._home() / "ledger").glob("*"))
    made["gate"] = app.gate.local("main", **STUB)
    return made


def test_training_is_kept_and_not_done_again(app, evidence):
    assert evidence["train"]["origin"] == "trained"
    folder = app._home() / "cache" / "codecs" / evidence["train"]["identity"]
    assert (folder / "manifest.json").is_file()
    again = app.train.local(**STUB)
    assert again == {**evidence["train"], "origin": "cached"}


def test_evaluating_says_how_many_and_nothing_more(evidence):
    # eight conditions of sixty episodes
    assert evidence["evaluate"] == 480
    assert evidence["ledger before"] == []


def test_the_gate_reads_what_was_evaluated(app, evidence):
    made = evidence["gate"]
    assert all(one["cached"] for keys in made["cache"].values() for one in keys)
    assert len(made["codec"]["history"]) == app.EPOCH
    assert Verdict(made["verdict"]) != Verdict.NOT_MEASURED
    assert parse_evidence(made).criteria
    (book,) = (app._home() / "ledger").glob("*.jsonl")
    looked, read = map(json.loads, book.read_text().splitlines())
    assert [one.get("verdict") for one in (looked, read)] == [None, made["verdict"]]


def test_the_evidence_is_the_one_of_every_engine(app, evidence):
    json.dumps(evidence["gate"], allow_nan=False)
    (kept,) = (app._home() / "evidence").glob("*/main-k4.json")
    assert json.loads(kept.read_text()) == evidence["gate"]


def test_ten_epochs_are_the_default_recipe(app):
    from lpca.codec.recipe import Recipe

    assert app._recipe(10) == Recipe()


def test_what_the_command_line_takes(app):
    entry = inspect.signature(app.main.info.raw_f)
    assert {"k", "epochs", "seed", "gpu", "name", "receiver", "spec"} <= set(entry.parameters)
