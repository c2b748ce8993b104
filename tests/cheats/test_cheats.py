"""Cheats of forty kinds: none passes by what did not cross, and 0 is given for a PASS alone."""

from __future__ import annotations

import os
import random
import re
import shutil
import sys
import time

import pytest
import torch
import warm
from cheats import ENDS, JUDGED, PASSES, module
from gate_project import BASE, HEAD, QUICK, ROOT
from own_codec import OPEN
from processes import lives, marked

from lpca.base.errors import RequestError
from lpca.channel.confine import ISOLATED
from lpca.channel.side import SideError, Wall
from lpca.codec.base import CodecError
from lpca.codec.channel import Channel
from lpca.codec.user_codec import codec_named, obtain_own
from lpca.evidence.files import read_evidence
from lpca.gate.plan import gate_episodes, sound_spec, task_of
from lpca.receivers.load import load_receiver

SAMPLE = {*random.Random(19).sample(sorted(ENDS), 3)}
"""Those of the fast suite; what is judged takes a whole gate each."""
K, PATIENCE = 4, 20.0


def cases(of):
    return [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.slow) for name in of]


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """A project with a small gate, the names' vectors, and one cache for all cheats."""
    home = tmp_path_factory.mktemp("cheats")
    project = home / "project"
    (project / "gates").mkdir(parents=True)
    for name in ("conftest.py", "gates/test_leaks.py", "gates/test_criteria.py"):
        shutil.copy(ROOT / name, project / name)
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "gate_specs.yaml").write_text(HEAD + BASE + OPEN)
    spec = sound_spec(project / "gate_specs.yaml")
    stub = load_receiver("stub", device="cpu")
    episodes = gate_episodes(spec, spec.gates["open"], task_of(spec))
    options = sorted({option for episode in episodes for option in episode.options})
    torch.save({one: stub.embed(stub.option_ids(one)) for one in options}, project / "names.pt")
    return home


@pytest.fixture
def judged(laid_out, tmp_path):
    """Judges a cheat in a project of its own; returns the run, and the project."""
    project = tmp_path / "project"

    def run(name, *arguments, mark=""):
        shutil.copytree(laid_out / "project", project)
        (project / "own.py").write_text(module(name, mark))
        command = [sys.executable, "-m", "pytest", "gates", "--receiver", "stub", *QUICK]
        command += ["-m", "open", "--k", str(K), "--codec", "own:Own", *arguments]
        command += ["--codec-seconds", "300"]
        how = {"LPCA_CACHE": str(laid_out / "cache"), "PYTHONPATH": str(ROOT)}
        return warm.run(
            command, cwd=project, env={**os.environ, **how}, capture_output=True, text=True
        ), project

    return run


@pytest.fixture
def asked(laid_out, tmp_path, monkeypatch):
    """Makes a codec behind the wall and asks both of its sides once, as a gate does first."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    made = []

    def ask(name):
        folder = tmp_path / "code"
        folder.mkdir()
        shutil.copy(laid_out / "project" / "names.pt", folder / "names.pt")
        (folder / "own.py").write_text(module(name))
        stub = load_receiver("stub", device="cpu")
        seconds = PATIENCE if name.startswith(("a stop", "a hang")) else 300.0
        own = obtain_own(codec_named("own:Own", [folder]), stub, K, Wall((), seconds))
        made.append(own)
        Channel(stub, own.codec, K).prefixes([f"The train to {city}." for city in ("Ufa", "Rome")])

    yield ask
    for own in made:
        own.close()


@pytest.mark.parametrize("name", cases(ENDS))
def test_an_end_is_one_line_and_no_answer(asked, capfd, name):
    """It says which side, what it did, and where in the user's file; the judge goes on."""
    _, codes, told = ENDS[name]
    with pytest.raises((RequestError, CodecError, SideError), match=told) as caught:
        asked(name)
    assert (8 if isinstance(caught.value, SideError) else 4) in codes
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1200
    assert not re.search(r"(?m)^(open k=4: PASS|::set-output|::error)", "".join(capfd.readouterr()))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["0 at import", "SystemExit at import", "a segmentation fault",
                                  "a verdict in what it prints"])  # fmt: skip
def test_an_end_is_no_verdict(judged, name):
    _, codes, told = ENDS[name]
    run, project = judged(name)
    text = run.stdout + run.stderr
    assert run.returncode in codes, text
    assert re.search(told, " ".join(re.sub(r"(?m)^E\s", " ", text).split())), text
    assert len(text) < 60_000
    assert not re.search(r"(?m)^(open k=4: PASS|::set-output|::error)", text)
    assert not list(project.glob(".lpca/evidence/open*.json"))


@pytest.mark.parametrize("name", cases(JUDGED))
def test_it_is_judged_as_what_it_sends(judged, laid_out, name):
    codes, mark = JUDGED[name][1], f"lpca-cheat-{os.getpid()}-{time.monotonic()}"
    run, project = judged(name, mark=mark)
    text = run.stdout + run.stderr
    assert run.returncode in codes, text
    assert len(text) < 60_000
    assert not marked(mark), "no process stays"
    for path in (laid_out / "project").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert (project / path.relative_to(laid_out / "project")).read_bytes() == (
                path.read_bytes()
            )
    evidence = project / ".lpca" / "evidence" / "open-k4.json"
    if run.returncode in (0, 1, 6, 7):
        found = read_evidence(evidence)
        assert (found.verdict == "PASS") == (run.returncode == 0)
        assert found.codec.isolation == ISOLATED
    if run.returncode == 0:
        assert name in PASSES
        assert "open k=4: PASS" in run.stdout


KILLED = """
import os, pathlib, signal
from lpca.base.supervise import descendants
from lpca.codec import remote
asked = remote.RemoteCodec.decode
def decode(self, latents):
    once = pathlib.Path({mark!r})
    if not once.exists():
        once.write_text(" ".join(map(str, descendants(os.getpid()))))
        os.kill(os.getpid(), signal.SIGKILL)
    return asked(self, latents)
remote.RemoteCodec.decode = decode
"""


@pytest.mark.slow
def test_a_worker_that_is_killed_leaves_no_pass_beside_a_failed_test(judged, laid_out, tmp_path):
    """Killed while it asks a side: the sides end with it."""
    mark = tmp_path / "killed"
    conftest = laid_out / "project" / "gates" / "conftest.py"
    conftest.write_text(KILLED.format(mark=str(mark)))
    try:
        run, _ = judged("honest", "-n", "2")
    finally:
        conftest.unlink()
    text = run.stdout + run.stderr
    assert mark.exists(), text
    failed = re.search(r"\d+ failed|\d+ error|crashed", text)
    assert run.returncode == 8 or not failed, text
    assert ("open k=4: PASS" in run.stdout) == (run.returncode == 0), text
    started, until = [*map(int, mark.read_text().split())], time.monotonic() + 30
    assert len(started) >= 4, "two sides, each with its guard"
    while any(map(lives, started)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(lives, started))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["is its batch", "counts its calls", "honest"])
def test_in_process_it_is_caught_as_before(judged, name):
    run, project = judged(name, "--in-process")
    assert run.returncode in JUDGED[name][1], run.stdout + run.stderr
    assert read_evidence(project / ".lpca" / "evidence" / "open-k4.json").codec.isolation == (
        "trusted"
    )
