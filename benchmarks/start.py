"""How long `lpca check` and `pytest --collect-only gates/` take to start, as multiples of
`python -c pass`, and whether either loads torch.

The spec checked has 100 criteria; the gates collected are the default spec's. Collection stands
beside an empty test file's, which is what pytest and the installed plugins of others cost, and
beside itself with those plugins off (lpca's is loaded by conftest.py). A user's environment has
fewer plugins than a developer's: run it in both.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import yaml
from measured import ENVIRONMENT, ROOT, interleaved, parser, publish

CRITERIA = 100
GOALS = {
    "lpca check": 1.0,
    "lpca check, the default spec": 1.0,
    "pytest --collect-only gates/": 1.0,
}
"""Seconds."""
HEAVY = ("torch", "transformers", "scipy", "statsmodels", "matplotlib")
PROBE = f"; print('loaded:', *sorted({set(HEAVY)} & set(sys.modules)))"
COLLECT = ["-m", "pytest", "--collect-only", "-q"]


def main() -> None:
    given = parser(__doc__, repeats=9).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        make_project(project)
        bare = {**ENVIRONMENT, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        commands = {
            "python -c pass": (["-c", "pass"], None),
            "lpca check": (["-m", "lpca", "check", "many.yaml"], None),
            "lpca check, the default spec": (["-m", "lpca", "check", "gate_specs.yaml"], None),
            "pytest --collect-only gates/": ([*COLLECT, "gates"], None),
            "the same, others' plugins off": ([*COLLECT, "gates"], bare),
            "pytest --collect-only an empty test": ([*COLLECT, "empty"], None),
            "the same, others' plugins off ": ([*COLLECT, "empty"], bare),
        }
        works = {
            name: partial(run, project, arguments, environment)
            for name, (arguments, environment) in commands.items()
        }
        seconds = interleaved(works, given.repeats)
        heavy = {
            "lpca check": loaded(
                project, "from lpca.commands.cli import main; main(['check', 'many.yaml'])"
            ),
            "pytest --collect-only gates/": loaded(
                project, "import pytest; pytest.main(['--collect-only', '-q', 'gates'])"
            ),
        }
    rows = [
        {
            "what": name.strip(),
            "seconds": spread,
            "times python -c pass": spread.per(seconds["python -c pass"]),
            "goal": GOALS.get(name, "-"),
            "loads of " + ", ".join(HEAVY): heavy.get(name, "-"),
        }
        for name, spread in seconds.items()
    ]
    plugins = sorted({one.name for one in entry_points(group="pytest11")})
    settings = {"repeats": given.repeats, "criteria": CRITERIA, "plugins": " ".join(plugins)}
    publish("start", rows, given.out, settings)


def make_project(project: Path) -> None:
    """A user's project, with a spec of many criteria beside its own and an empty test."""
    for name in ("conftest.py", "gate_specs.yaml"):
        shutil.copy(ROOT / name, project)
    shutil.copytree(ROOT / "gates", project / "gates", ignore=shutil.ignore_patterns("__*__"))
    (project / "many.yaml").write_text(many_criteria(), encoding="utf-8")
    (project / "empty").mkdir()
    (project / "empty" / "conftest.py").write_text("", encoding="utf-8")
    (project / "empty" / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (project / "empty" / "test_empty.py").write_text("def test_nothing(): pass\n", encoding="utf-8")


def many_criteria() -> str:
    """The default spec's Gate 0, and its Gate 1 again and again at other expectations."""
    spec = yaml.safe_load((ROOT / "gate_specs.yaml").read_text(encoding="utf-8"))
    base, pattern = spec["gates"]["gate0"], spec["gates"]["gate1"]
    gates, left = {"gate0": base}, CRITERIA - len(base["criteria"])
    while left:
        criteria = pattern["criteria"]
        # cut so that every condition is still read
        criteria = criteria if left > len(criteria) else criteria[:1] + criteria[1 - left :]
        expect = {**pattern["expect"], "normal": round(0.95 - 0.01 * len(gates), 2)}
        gate = {**pattern, "criteria": criteria, "expect": expect, "beside": []}
        gates[f"gate1_{len(gates)}"] = gate
        left -= len(criteria)
    # through JSON, so that nothing is shared: the spec format has no aliases
    return yaml.safe_dump(json.loads(json.dumps({**spec, "gates": gates})), sort_keys=False)


def run(project: Path, arguments: list[str], environment: dict[str, str] | None) -> str:
    # the empty test is collected by itself: the project's conftest.py is above it
    where = project / "empty" if arguments[-1] == "empty" else project
    given = [*arguments[:-1], "."] if arguments[-1] == "empty" else arguments
    found = subprocess.run(
        [sys.executable, *given],
        cwd=where,
        env=environment or ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    if found.returncode:
        raise SystemExit(
            f"{' '.join(given)} ended with {found.returncode}\n{found.stdout}{found.stderr}"
        )
    return found.stdout


def loaded(project: Path, code: str) -> str:
    """Which of the heavy modules are there after some code has run."""
    last = run(project, ["-c", f"import sys; {code}{PROBE}"], None).splitlines()[-1]
    return last.removeprefix("loaded:").strip() or "none"


if __name__ == "__main__":
    main()
