"""An option's path never moves where the project of a run is looked for."""

from __future__ import annotations

import pytest

from lpca.base.pytest_paths import refuse_moved


@pytest.fixture
def project(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "project" / "own").mkdir(parents=True)
    (tmp_path / "project" / "gate_specs.yaml").write_text("")
    return tmp_path / "project"


@pytest.mark.parametrize("started", [".", "own"])
def test_an_option_whose_path_moved_the_run_is_named(project, started):
    path = "../x" if started == "." else "../../x"
    with pytest.raises(pytest.UsageError, match=f"write --receiver={path}"):
        refuse_moved(project.parent, project / started, ["-m", "gate1", "--receiver", path])


@pytest.mark.parametrize(
    ("root", "arguments"),
    [
        (".", ["--receiver", "../x"]),
        ("..", ["--receiver=../x"]),
        ("..", ["--receiver", "../not-there"]),
        ("..", ["--receiver", "own"]),
        ("..", ["--rootdir", "..", "--receiver", "../x"]),
    ],
)
def test_any_other_run_is_let_be(project, root, arguments):
    refuse_moved((project / root).resolve(), project, arguments)


def test_outside_a_project_nothing_is_looked_at(tmp_path):
    refuse_moved(tmp_path.parent, tmp_path, ["--receiver", ".."])
