"""A run's own evidence holds what pictures need."""

from __future__ import annotations

from gate_project import BASE, MAIN

from lpca.codec.channel import COMPARED
from lpca.commands.cli import main
from lpca.receivers.load import load_receiver


def test_the_evidence_of_a_run_can_be_drawn(project):
    project.write(BASE + MAIN)
    assert project.run("-m", "main or base").ret == 0
    evidence, plain = project.evidence(), project.evidence("base")
    assert evidence["similarity"]["seeds"] == [
        one["seed"] for one in evidence["episodes"][:COMPARED]
    ]
    assert evidence["similarity"]["own_donor"] < 0.9
    assert evidence["receiver"]["d_model"] == load_receiver("stub", "cpu").d_model
    assert plain["similarity"] is None
    folder, out = project.path / ".lpca" / "evidence", project.path / "pictures"
    for name, wanted in {
        "main-k4": {"main-k4-glance.svg", "main-k4-training.svg", "main-k4-similarity.svg"},
        "base": {"base-glance.svg"},
    }.items():
        assert main(["plot", str(folder / f"{name}.json"), "--out", str(out / name)]) == 0
        assert {one.name for one in (out / name).iterdir()} == wanted
