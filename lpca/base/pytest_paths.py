"""Loaded with every pytest: an option's path must not move where the project is looked for.

pytest knows no option of a plugin when it chooses the folder of its run: it takes what stands
behind `--receiver ` for a path of tests, and looks for `pytest.ini` above all of them. This module
imports nothing else of lpca's: it is loaded wherever lpca is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

SPEC = "gate_specs.yaml"
OWN_ROOT = ("--rootdir", "-c", "--config-file", "--gate-spec")
"""Options by which a user says where the run belongs."""


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: Sequence[str]) -> None:
    """Refuse a run whose folder an option's path has moved, before pytest misses its options."""
    refuse_moved(early_config.rootpath, early_config.invocation_params.dir, args)


def refuse_moved(root: Path, started: Path, arguments: Sequence[str]) -> None:
    """Refuse a run of a project of gates that an option's path has moved out of its folder.

    Args:
        root: the folder that pytest has chosen.
        started: the folder that it was started in.
        arguments: of the command line.

    Raises:
        pytest.UsageError: naming the option, and what to write.
    """
    project = _project(started)
    if project is None or root not in project.parents:
        return
    if any(one.partition("=")[0] in OWN_ROOT for one in arguments):
        return
    for option, value in pairwise(arguments):
        if not option.startswith("--") or "=" in option or value.startswith("-"):
            continue
        path = (started / value).resolve()
        if path.exists() and not path.is_relative_to(project):
            raise pytest.UsageError(
                f"{option} {value}: with a space between, pytest takes a path for one of tests, "
                f"and looks for the project in {root}; write {option}={value}"
            )


def _project(folder: Path) -> Path | None:
    """The nearest folder, from one upwards, that holds a spec."""
    folder = folder.resolve()
    return next((one for one in (folder, *folder.parents) if (one / SPEC).is_file()), None)
