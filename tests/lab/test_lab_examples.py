"""The grids that are shipped can be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lpca.checker.check import check_spec
from lpca.gate.plan import sound_spec
from lpca.lab.grid import gate_of, read_grid, read_grids

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER = EXAMPLES / "lab"
SPECS = ("gate_specs.yaml", "field_specs.yaml")
GRIDS = [path for path in sorted(FOLDER.glob("*.yaml")) if path.name not in SPECS]
RELAY = [
    path
    for path in sorted((EXAMPLES / "relay").glob("*.yaml"))
    if not path.name.endswith("_specs.yaml")
]


@pytest.mark.parametrize("path", [*GRIDS, *RELAY], ids=lambda path: path.stem)
def test_a_grid_fits_its_spec(path):
    for grid in read_grids(path):
        assert gate_of(grid, sound_spec(grid.spec)).name == grid.gate


@pytest.mark.parametrize("name", SPECS)
def test_the_labs_specs_have_no_findings(name):
    assert check_spec(sound_spec(FOLDER / name)) == []


def test_their_test_episodes_are_not_the_projects():
    homes = [FOLDER.parents[1] / "gate_specs.yaml", *(FOLDER / name for name in SPECS)]
    assert len({sound_spec(home).task.seed for home in homes}) == 3


def test_the_grids_of_one_spec_together_stay_within_what_it_pays_for():
    grids = [grid for path in GRIDS for grid in read_grids(path)]
    own = [one for one in grids if one.gate == "lab" and one.receiver != "stub"]
    spec = sound_spec(FOLDER / "gate_specs.yaml")
    assert sum(len(one.rows) * len(one.seeds) for one in own) <= spec.evaluation.checkpoints


@pytest.mark.parametrize("receiver", ["reader", "smollm2"])
def test_relays_grids_of_one_receiver_stay_within_what_their_spec_pays_for(receiver):
    grids = [read_grid(path) for path in RELAY if path.name.startswith(receiver)]
    [file] = {one.spec for one in grids}
    spec = sound_spec(file)
    assert check_spec(spec) == []
    assert sum(len(one.rows) * len(one.seeds) for one in grids) <= spec.evaluation.checkpoints


def test_relays_specs_have_test_episodes_of_their_own():
    seeds = [sound_spec(one).task.seed for one in (EXAMPLES / "relay").glob("*_specs.yaml")]
    assert len(seeds) == len(set(seeds)) == 3
