"""What a grid file may hold; what is wrong is refused with its line before anything is loaded."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from lab_project import GRID, SPEC

from lpca.base.errors import ExitCode, RequestError
from lpca.commands.cli import main
from lpca.gatespec.document import SpecError
from lpca.gatespec.load import load_spec
from lpca.lab.grid import gate_of, read_grid, read_grids


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "gate_specs.yaml").write_text(SPEC)
    return tmp_path


def written(folder, text):
    path = folder / "grid.yaml"
    path.write_text(text)
    return path


def checked(path):
    grid = read_grid(path)
    return gate_of(grid, load_spec(grid.spec))


def refused(folder, text, spec=None):
    path = written(folder, text)
    if spec:
        (folder / "gate_specs.yaml").write_text(spec)
    with pytest.raises(SpecError) as caught:
        checked(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}:")


def test_a_row_takes_over_what_it_does_not_say(folder):
    grid = read_grid(written(folder, GRID))
    answer, prefix = (row.recipe for row in grid.rows)
    assert (answer.architecture, answer.steps) == ("token_pooler", 12)
    assert answer.stages[0].objective == {"answer": 1.0}
    assert (prefix.architecture, prefix.steps) == ("static_prefix", 6)
    assert (grid.ks, grid.seeds, grid.receiver, grid.dtype) == ((4,), (0, 1), "stub", "float32")
    assert grid.spec == folder / "gate_specs.yaml", "beside the grid"


@pytest.mark.parametrize(
    ("defaults", "row", "steps"),
    [
        ("{steps: 9}", "curriculum: [{steps: 2, objective: {mse: 1}}, {steps: 3}]", [2, 3]),
        ("{curriculum: [{steps: 4}, {steps: 5}]}", "steps: 7", [7]),
        ("{curriculum: [{steps: 4}, {steps: 5}]}", "batch_size: 3", [4, 5]),
    ],
)
def test_a_curriculum_and_steps_replace_one_another(folder, defaults, row, steps):
    rows = f"rows:\n  - {{name: a, {row}}}\n"
    text = GRID[: GRID.index("defaults:")] + f"defaults: {defaults}\n{rows}"
    [only] = read_grid(written(folder, text)).rows
    assert [stage.steps for stage in only.recipe.stages] == steps


def test_each_row_comes_once_before_any_comes_twice(folder):
    cells = read_grid(written(folder, GRID)).cells()
    assert [(one.row.name, one.seed) for one in cells] == [
        ("answer", 0),
        ("prefix", 0),
        ("answer", 1),
        ("prefix", 1),
    ]


def test_what_is_not_said_has_a_default(folder):
    text = "version: 1\ngate: main\nk: [4, 8]\nseeds: [3]\nrows: [{name: only}]\n"
    grid = read_grid(written(folder, text))
    assert (grid.receiver, grid.dtype, grid.ks) == ("smollm2-135m", "auto", (4, 8))
    assert (grid.rows[0].recipe.architecture, grid.rows[0].recipe.steps) == ("token_pooler", 120)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("gate: main", "gat: main", "2:1: unknown key 'gat' in the grid; did you mean 'gate'?"),
        ("seeds: [0, 1]", "seeds: [0, 0]", "6:12: seeds holds 0 twice"),
        ("seeds: [0, 1]", "seeds: []", "6:8: seeds is an empty list"),
        ("seeds: [0, 1]", "seeds: [-1]", "6:9: a seed is '-1'; allowed: a whole number from 0"),
        ("k: 4", "k: 0", "5:4: k is '0'; allowed: a whole number from 1 to 512"),
        ("k: 4", "k: 4\nk: 8", "6:1: the key 'k' stands twice (first on line 5)"),
        ("float32", "float8", "4:8: unknown dtype 'float8'; did you mean 'float"),
        (
            "steps: 12",
            "step: 12",
            "7:46: recipe: unknown key 'step' in the recipe; did you mean 'steps'",
        ),
        ("steps: 6", "steps: 0", "10:56: recipe: steps is 0; allowed: 1 to"),
        (
            "static_prefix",
            "static",
            "10:34: recipe: architecture 'static' is unknown; did you mean 'static_",
        ),
        ("name: prefix", "name: answer", "10:12: the row 'answer' stands twice (first on line 9)"),
        ("{name: answer}", "{steps: 3}", "9:5: a row lacks the key 'name'"),
        ("{name: answer}", "{name: a, name: b}", "9:15: the key 'name' stands twice"),
        ("{name: answer}", "{name: a, k: 3}", "9:18: recipe: unknown key 'k' in the recipe"),
        (
            "{name: answer}",
            "{name: a, objective: {mes: 1}}",
            "9:32: recipe: objective 'mes' is unknown; did you mean 'mse'",
        ),
        (
            "{name: answer}",
            "{name: a, objective: {}}",
            "9:26: recipe: objective is {}; allowed: one or more of name: weight",
        ),
        ("{name: answer}", "answer", "9:5: a row is 'answer'; allowed: a mapping"),
        ("gate: main", "gate: mian", "2:7: gate 'mian'; did you mean 'main'?"),
        ("gate: main", "gate: base", "2:7: gate base is not run under normal, shuffle"),
        ("version: 1", "version: 2", "1:10: version is '2'"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(folder, old, new, says):
    assert old in GRID
    assert refused(folder, GRID.replace(old, new, 1)).startswith(says)


def test_no_rows(folder):
    assert "rows holds 0" in refused(folder, GRID[: GRID.index("rows:")] + "rows: []\n")


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [\n"])
def test_what_is_no_grid(folder, text):
    assert refused(folder, text)


def test_more_codecs_than_the_spec_pays_for(folder):
    spec = SPEC.replace("checkpoints: 8", "checkpoints: 3")
    said = refused(folder, GRID, spec)
    assert said.startswith("9:3: ")
    assert "2 rows with 2 seeds at 1 k put 4 codecs" in said
    assert "gate_specs.yaml:4 allows 3; write evaluation: {checkpoints: 4}" in said


def test_a_gate_that_stops_early(folder):
    stopping = "    sequential: {rule: e-process, block: 20}\n    requires: [base]"
    said = refused(folder, GRID, SPEC.replace("    requires: [base]", stopping))
    assert said.startswith("2:7: gate main stops early")


def test_a_k_that_the_gate_does_not_declare(folder):
    spec = SPEC.replace("    requires: [base]", "    k: [2, 8]\n    requires: [base]")
    assert refused(folder, GRID, spec).startswith("5:4: gate main does not declare k=4; allowed: 2")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.yaml"], "nowhere.yaml:1:1: there is no such file"),
        (["grid.yaml", "--batch-size", "0"], "--batch-size 0: out of range"),
        (["grid.yaml", "--receiver", "./none"], "receiver ./none: no folder"),
    ],
)
def test_a_mistake_is_one_line(folder, monkeypatch, capsys, arguments, says):
    written(folder, GRID)
    monkeypatch.chdir(folder)
    assert main(["lab", *arguments]) == ExitCode.USAGE_ERROR
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_a_wrong_grid_is_refused_without_loading_torch(folder):
    written(folder, GRID.replace("k: 4", "k: 0"))
    code = (
        "import sys; from lpca.commands.cli import main; code = main(['lab', 'grid.yaml']); "
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True
    )
    assert done.stdout == "4 False\n"


CHANNELS = """
version: 1
{runs}
k: 4
seeds: [0, 1]
rows:
  - {{name: trained}}
  - {{name: own, channel: "examples.channels.keywords:Keywords", k: [2, 8]}}
"""
ONE = "gate: lab\nreceiver: stub"
RUNS = """
runs:
  - {name: all, gate: lab, receiver: stub}
  - {name: few, gate: lab, receiver: other, rows: [own]}
"""


def test_a_row_may_be_a_channel_at_k_of_its_own(folder):
    grid = read_grid(written(folder, CHANNELS.format(runs=ONE)))
    assert [(one.row.name, one.k, one.seed) for one in grid.cells()] == [
        ("trained", 4, 0),
        ("own", 2, 0),
        ("own", 8, 0),
        ("trained", 4, 1),
    ], "what is not trained here is there once, whatever the seeds"
    assert grid.rows[1].channel == "examples.channels.keywords:Keywords"


def test_a_file_may_hold_several_runs(folder):
    path = written(folder, CHANNELS.format(runs=RUNS))
    every, few = read_grids(path)
    assert (every.name, every.receiver, len(every.rows)) == ("grid-all", "stub", 2)
    assert (few.name, few.receiver) == ("grid-few", "other")
    assert [row.name for row in few.rows] == ["own"]
    assert read_grid(path, "few") == few
    with pytest.raises(RequestError, match="run 'fwe'; did you mean 'few'"):
        read_grid(path, "fwe")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("k: [2, 8]", "steps: 3", "steps stands beside channel"),
        ("keywords:Keywords", "keywords", "channel is .*allowed: package.module:factory"),
        ("k: [2, 8]", "k: 0", "k is '0'; allowed: "),
        ("rows: [own]", "rows: [onw]", "the row 'onw'; did you mean 'own'"),
        ("rows: [own]", "rows: []", "rows is an empty list"),
        ("name: few", "name: all", "the run all stands twice"),
        ("\nk: 4", "\ngate: lab\nk: 4", "gate stands beside runs"),
    ],
)
def test_what_a_channel_or_a_run_cannot_be_is_told_with_its_line(folder, old, new, told):
    text = CHANNELS.format(runs=RUNS)
    assert old in text
    assert re.search(rf"^\d+:\d+: {told}", refused(folder, text.replace(old, new)))
