"""A grid of two tiny recipes on the stub, and `lpca lab` in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import warm
from filelock import FileLock
from gate_project import BASE, HEAD, MAIN, ROOT

SPEC = HEAD.replace("n: 60", "n: 60, checkpoints: 8") + BASE + MAIN.replace(", static]", "]")
SPEC = SPEC.replace(", static: 0.25", "")
GRID = """version: 1
gate: main
receiver: stub
dtype: float32
k: 4
seeds: [0, 1]
defaults: {architecture: token_pooler, steps: 12}
rows:
  - {name: answer}
  - {name: prefix, architecture: static_prefix, steps: 6}
"""


class Lab:
    """A folder with a spec and a grid."""

    def __init__(self, path, cache):
        self.path, self.cache = path, cache
        (path / "gate_specs.yaml").write_text(SPEC)
        (path / "grid.yaml").write_text(GRID)

    @property
    def out(self):
        return self.path / ".lpca" / "lab" / "grid"

    def start(self):
        environment = {**os.environ, "LPCA_CACHE": str(self.cache), "PYTHONPATH": str(ROOT)}
        return warm.Popen(
            [sys.executable, "-m", "lpca", "lab", "grid.yaml"],
            cwd=self.path,
            env={**environment, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process):
        out, err = process.communicate(timeout=600)
        return process.returncode, out, err

    def killed_when(self, process, shown, how=signal.SIGKILL):
        """Kill a process at the first line of progress that holds a text; return what it said."""
        said = []
        for line in process.stderr:
            said.append(line)
            if shown in line:
                process.send_signal(how)
                break
        rest = process.communicate(timeout=600)[1]
        return process.returncode, "".join(said) + rest

    def table(self):
        """What was found, without how long it took."""
        data = json.loads((self.out / "table.json").read_text())
        del data["content_sha256"]
        for codec in data["codecs"]:
            codec.pop("seconds", None)
            codec.pop("origin", None)
        for row in data["rows"]:
            for name in ("training seconds", "evaluation seconds"):
                row["numbers"].pop(name, None)
        return data

    def evidence(self):
        """When each evidence file was written."""
        return {path: path.stat().st_mtime_ns for path in self.out.glob("evidence/*/main-k4.json")}


def whole_lab(lpca_cache):
    """A grid that ran through, once for all tests and workers."""
    folder = lpca_cache.parent / "lab"
    with FileLock(f"{folder}.lock"):
        ended = folder / "ended.json"
        begun = folder.exists()
        folder.mkdir(exist_ok=True)
        made = Lab(folder, folder / "cache")
        if not begun:
            ended.write_text(json.dumps(made.finish(made.start())))
        made.ended = json.loads(ended.read_text())
    return made
