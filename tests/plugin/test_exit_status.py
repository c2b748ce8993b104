"""The exit code is the verdict that was read, whatever the judged code and dying workers do."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest
import warm
from gate_project import BASE, QUICK, WRONG
from own_codec import CUT, OPEN
from processes import lives

CODEC = f"""{CUT}

import atexit, os, sys
MODE = os.environ.get("MODE", "")
def gone():
    import shutil
    from lpca.base import supervise
    shutil.rmtree(supervise._link.told["folder"])
    os._exit(0)
ENDS = {{"0": lambda: os._exit(0), "exit": lambda: sys.exit(0), "gone": gone}}
def end(where):
    at, _, how = MODE.partition("-")
    if at == where:
        ENDS[how]()
end("import")
if MODE == "atexit-0":
    atexit.register(os._exit, 0)
class Ends(Cut):
    def __init__(self, receiver, k):
        end("factory")
        super().__init__(receiver, k)
    def encode(self, messages):
        end("encode")
        return super().encode(messages)
    def decode(self, latents):
        end("decode")
        return super().decode(latents)
"""


@pytest.fixture
def judged(project, monkeypatch):
    """A command of its own that judges a codec which ends the process in some way."""
    project.write(BASE + OPEN)
    (project.path / "ends.py").write_text(CODEC)

    def run(mode, *arguments):
        monkeypatch.setenv("MODE", mode)
        command = [sys.executable, "-m", "pytest", "gates", "--receiver", "stub", *QUICK]
        command += ["-m", "open", "--k", "16", "--codec", "ends:Ends", "--in-process", *arguments]
        return warm.run(command, cwd=project.path, capture_output=True, text=True, timeout=600)

    return run


@pytest.mark.parametrize(
    "mode",
    [
        "import-0",
        pytest.param("encode-gone", marks=pytest.mark.slow),
        pytest.param("factory-0", marks=pytest.mark.slow),
        pytest.param("encode-0", marks=pytest.mark.slow),
        pytest.param("decode-0", marks=pytest.mark.slow),
    ],
)
def test_a_codec_that_ends_the_process_with_0_is_not_measured(judged, mode):
    run = judged(mode)
    assert run.returncode == 8
    assert "lpca: the run ended with exit status 0 before it was done" in run.stderr


def test_pytest_under_another_name_is_supervised_as_well(project, monkeypatch):
    project.write(BASE + OPEN)
    (project.path / "ends.py").write_text(CODEC)
    monkeypatch.setenv("MODE", "import-0")
    script = project.path / "pytest-3"
    script.write_text("import pytest, sys\nsys.exit(pytest.console_main())\n")
    how = ["-m", "open", "--k", "16", "--codec", "ends:Ends", "--in-process"]
    how += ["--receiver", "stub", *QUICK]
    run = subprocess.run([sys.executable, str(script), "gates", *how], cwd=project.path)
    assert run.returncode == 8


def test_what_a_codec_does_at_exit_changes_nothing(judged, project):
    run = judged("atexit-0", "-k", "above_p0")
    assert run.returncode == 8
    assert "NOT MEASURED" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_pass_that_is_read_again_is_0(judged, workers):
    assert judged("atexit-0", *workers).returncode == 0


def test_a_codec_that_asks_to_exit_is_said_in_one_line_each(judged):
    run = judged("factory-exit")
    assert run.returncode == 4
    assert "codec ends:Ends: making it raised SystemExit: 0 (ends.py:" in run.stdout
    assert len(run.stdout) < 15_000


def test_a_run_without_a_standard_output_is_not_measured(project):
    command = f"{sys.executable} -m pytest gates -m base {' '.join(QUICK)} >&-"
    done = subprocess.run(
        ["bash", "-c", command], cwd=project.path, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 8
    assert done.stderr == "lpca: standard output is closed: nothing can be shown\n"


BELIEVED = """
import pytest
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    result = yield
    session.exitstatus = 0
    return result
"""


@pytest.mark.parametrize(
    ("gates", "marker", "code", "said"),
    [
        (WRONG, "wrong", 1, "wrong: FAIL"),
        (BASE, "base", 0, ""),
        (BASE, "base and not base", 5, ""),
    ],
)
def test_a_0_is_believed_where_every_gate_asked_for_is_a_pass(project, gates, marker, code, said):
    project.write(gates)
    if code != 5:
        (project.path / "gates" / "conftest.py").write_text(BELIEVED)
    command = [sys.executable, "-m", "pytest", "gates", "--receiver", "stub", *QUICK, "-m", marker]
    run = warm.run(command, cwd=project.path, capture_output=True, text=True, timeout=600)
    assert run.returncode == code, run.stdout + run.stderr
    assert said in run.stderr
    assert not said or "the run ended with 0, which does not count" in run.stderr


KILLED = """
import os, pathlib, signal, pytest
of = False
def pytest_configure(config):
    # not by the environment, in which these tests' own workers are named
    global of
    of = hasattr(config, "workerinput")
def die(item, when):
    once = pathlib.Path({mark!r})
    if when == {when!r} and {name!r} in item.nodeid and of and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
def pytest_runtest_setup(item):
    die(item, "setup")
@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    result = yield
    die(item, "called")
    return result
@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish(nodeid, location):
    import types
    die(types.SimpleNamespace(nodeid=nodeid), "after")
"""


@pytest.mark.parametrize(
    ("when", "name"),
    [
        ("called", "text_helps"),
        pytest.param("setup", "test_leak", marks=pytest.mark.slow),
        pytest.param("after", "text_helps", marks=pytest.mark.slow),
        pytest.param("after", "test_leak", marks=pytest.mark.slow),
    ],
)
def test_a_dead_worker_is_said_as_the_exit_code_has_it(project, monkeypatch, when, name):
    summary, junit, mark = (project.path / one for one in ("summary.md", "junit.xml", "died"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    killed = KILLED.format(mark=str(mark), when=when, name=name)
    (project.path / "gates" / "conftest.py").write_text(killed)
    result = project.run("-m", "base", "-n", "2", f"--junitxml={junit}")
    assert mark.exists()
    text = result.stdout.str()
    told = [text, summary.read_text()]
    (verdict,) = (
        one.get("value") for one in ET.parse(junit).iter("property") if one.get("name") == "base"
    )
    if result.ret == 0:
        assert verdict == "PASS"
        assert all("base: PASS" in one for one in told)
        return
    assert (result.ret, verdict) == (8, "NOT MEASURED")
    for one in told:
        assert "base: NOT MEASURED" in one
        assert "worker gw" in " ".join(one.split())
        block = one.split("base: NOT MEASURED")[1]
        assert "PASS" not in block.split("short test summary")[0]
        assert "base: PASS" not in one


@pytest.mark.slow
def test_workers_end_with_a_killed_run(project):
    """As `kill -9` of all that the user sees does it: of the supervisor and of its child."""
    (project.path / "gates" / "conftest.py").write_text(
        "import os, time\ndef pytest_runtest_setup(item):\n"
        "    print('pid', os.getpid(), file=open('pids', 'a'))\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "pytest", "gates", "-m", "base", "-n", "2", *QUICK]
    run = subprocess.Popen(command, cwd=project.path, stdout=subprocess.DEVNULL)
    pids = project.path / "pids"
    until = time.monotonic() + 60
    while not (pids.exists() and len(pids.read_text().split()) >= 4):
        assert time.monotonic() < until
        time.sleep(0.1)
    run.send_signal(signal.SIGKILL)
    run.wait()
    workers = [int(one) for one in pids.read_text().split()[1::2]]
    until = time.monotonic() + 20
    while any(map(lives, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(lives, workers))
