"""What the wall costs: a gate on a codec of one's own behind it, against the same one in process.

Each run is `pytest gates/` in a project and a cache of its own, so that every outcome is measured,
alternating between the two. Seconds are the processor's, of the judge and its sides together,
since a busy machine stretches all others. "told" is a codec that needs of the receiver only what is
told, "asks" one that embeds on A's side: its wall costs one loading of the receiver more.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from measured import ENVIRONMENT, ROOT, Spread, publish, receiver_parser

SPEC = """
version: 1
task: {{name: trip, options: 4, seed: 5}}
evaluation: {{n: {n}, score: likelihood, confidence: 0.95, equivalence_confidence: 0.90}}
gates:
  base:
    title: The task is valid
    answers: seen
    conditions: [p0, p1]
    expect: {{p0: 0.25, p1: 0.95}}
    criteria:
      - {{id: text_helps, claim: p1 - p0 > 0.20}}
  wall:
    title: The channel carries the message
    answers: all
    requires: [base]
    conditions: [p0, p1, normal, null, shuffle]
    expect: {{p0: 0.25, p1: 0.95, normal: 0.95, null: 0.25, shuffle: 0.02}}
    criteria:
      - {{id: above_p0, claim: normal - p0 > 0.10}}
      - {{id: above_null, claim: normal - null > 0}}
      - {{id: above_shuffle, claim: normal - shuffle > 0}}
"""
CODECS = """
import torch
from examples.own_codec import Cut

class Asks(Cut):
    '''The first k token embeddings.'''

class Told:
    '''Letters as numbers: nothing is embedded.'''
    def __init__(self, receiver, k):
        self.k, self.d = k, receiver.d_model
        self.norm = receiver.mean_embedding_norm
    def encode(self, messages):
        out = torch.zeros(len(messages), self.k, self.d)
        for row, message in zip(out, messages):
            for at, letter in enumerate(message):
                row[at % self.k, (at * 7 + ord(letter)) % self.d] += 1.0
        return out / out.norm(dim=2, keepdim=True).clamp(min=1e-6) * self.norm
    def decode(self, latents):
        return latents
"""
LOADS = "from lpca.receivers.load import load_receiver; load_receiver({receiver!r}, {device!r})"
IMPORTS = "import lpca.receivers.load"


def main() -> None:
    arguments = receiver_parser(__doc__, repeats=3, dtype="float32")
    arguments.add_argument("--n", type=int, default=200)
    arguments.add_argument("--k", type=int, default=4)
    given = arguments.parse_args()
    loads = {"load": LOADS.format(receiver=given.receiver, device=given.device)}
    loads["import"] = IMPORTS
    loading: dict[str, list[float]] = {name: [] for name in loads}
    rows: list[Mapping[str, Any]] = []
    for codec in ("Told", "Asks"):
        found: dict[str, list[float]] = {"in process": [], "behind the wall": []}
        for _ in range(given.repeats):
            for name, how in zip(found, (["--in-process"], []), strict=True):
                found[name].append(_gate(given, codec, how))
            if codec == "Asks":
                for name, program in loads.items():
                    loading[name].append(_seconds([sys.executable, "-c", program], ROOT, {}))
        here, walled = (Spread(tuple(values)) for values in found.values())
        more = Spread(tuple(b - a for a, b in zip(here.values, walled.values, strict=True)))
        rows.append(
            {
                "receiver": given.receiver,
                "codec": codec.lower(),
                "in process, s": here,
                "behind the wall, s": walled,
                "more, s": more,
                "ratio": walled.per(here),
            }
        )
    pairs = zip(loading["load"], loading["import"], strict=True)
    rows.append({"loading a receiver once, s": Spread(tuple(a - b for a, b in pairs))})
    publish("wall", rows, given.out, {"n": given.n, "k": given.k}, given.device)


def _gate(given: Any, codec: str, how: list[str]) -> float:
    """Seconds of one run in a fresh project."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch, "project")
        shutil.copytree(ROOT / "gates", project / "gates")
        shutil.copy(ROOT / "conftest.py", project / "conftest.py")
        (project / "pytest.ini").write_text("[pytest]\n")
        (project / "gate_specs.yaml").write_text(SPEC.format(n=given.n))
        (project / "own.py").write_text(CODECS)
        command = [sys.executable, "-m", "pytest", "gates", "-q", "-m", "wall"]
        command += ["--receiver", given.receiver, "--device", given.device, "--dtype", given.dtype]
        command += ["--k", str(given.k), "--codec", f"own:{codec}", *how]
        return _seconds(command, project, {"LPCA_CACHE": str(Path(scratch, "cache"))})


def _seconds(command: list[str], folder: Path, more: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**ENVIRONMENT, "PYTHONPATH": path, **more}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    # 1, 6 and 7 are verdicts as well: it is what a run costs that is asked
    if done.returncode not in (0, 1, 6, 7):
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
