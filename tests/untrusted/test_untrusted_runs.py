"""Runs that are stopped, starved or doubled: one clear end, and the same evidence afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
import warm

GATE = ["gates", "-m", "main", "--receiver", "stub", "-p", "no:cacheprovider"]
SIGNALS = [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)]


def no_crash(said: str) -> None:
    assert "Traceback" not in said, said
    assert "INTERNALERROR" not in said, said


@pytest.mark.parametrize("sign", SIGNALS)
def test_a_run_stopped_twice_and_run_again_gives_the_same_evidence(runs, whole, sign):
    for place in (runs.snapshots, runs.blocks):
        run = runs.start(rest=0.5)
        no_crash(runs.stop(run, sign, place))
        assert run.returncode == (2 if sign == signal.SIGINT else -sign)
        assert place()
        assert not (runs.path / ".lpca" / "evidence" / "main-k4.json").exists()
        assert sign == signal.SIGKILL or not runs.unfinished()
    runs.finish()
    assert runs.measured() == whole.measured()
    assert not runs.snapshots()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="no list of who holds a lock")
def test_a_worker_killed_in_training_leaves_the_others_the_same_evidence(runs, whole):
    run = runs.start("-n", "2")
    runs.stop(run, signal.SIGCONT, lambda: bool(runs.snapshots()) and kill_trainer(runs.cache))
    assert runs.measured() == whole.measured()
    assert run.returncode not in (0, 3)


def kill_trainer(cache: Path) -> bool:
    """Kill the process that holds the lock of the codec's training, not one that waits for it."""
    (lock,) = (cache / "codecs").glob("*.lock")
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if "->" not in words and words[5].endswith(f":{lock.stat().st_ino}"):
            os.kill(int(words[4]), signal.SIGKILL)
            return True
    return False


def test_two_runs_at_once_share_a_cache_and_are_both_right(make_runs, whole):
    first = make_runs()
    second = make_runs(first.cache)
    both = [first.start(), second.start()]
    for run in both:
        no_crash(first.said(run))
    assert first.measured() == second.measured() == whole.measured()
    assert len(list((first.cache / "codecs").glob("*/manifest.json"))) == 1
    assert not first.unfinished() + second.unfinished()


def test_evidence_that_was_cut_off_is_measured_over(runs, whole):
    shutil.copytree(whole.cache, runs.cache, dirs_exist_ok=True)
    folder = runs.path / ".lpca" / "evidence"
    folder.mkdir(parents=True)
    (folder / "main-k4.json").write_text('{"run": "')
    no_crash(runs.finish())
    assert runs.measured() == whole.measured()


def test_a_cache_that_cannot_be_written_is_one_line(runs):
    (runs.cache / "file").write_text("")
    runs.environment["LPCA_CACHE"] = str(runs.cache / "file")
    run = runs.start()
    said = runs.said(run)
    assert run.returncode == 8
    no_crash(said)
    assert "cannot be written: " in said
    assert "LPCA_CACHE" in said


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(runs, whole):
    """Files may not outgrow 200 kB: the first snapshot, the largest of all, does."""
    command = (
        "import resource, sys, pytest; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000,)*2)"
    )
    run = warm.run(
        [sys.executable, "-c", f"{command}; sys.exit(pytest.main({GATE}))"],
        cwd=runs.path,
        env=runs.environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 8
    no_crash(run.stdout + run.stderr)
    assert "File too large" in run.stdout
    assert not runs.unfinished()
    assert not runs.snapshots()
    runs.finish()
    assert runs.measured() == whole.measured()


def test_an_impossible_seed_is_one_line_and_exit_code_4(runs):
    (runs.path / "conftest.py").write_text('pytest_plugins = ["lpca.pytest_plugin"]\n')
    run = runs.start("--train-seed", "-1")
    said = runs.said(run)
    assert run.returncode == 4
    no_crash(said)
    assert "--train-seed -1: allowed: whole numbers from 0 to" in said
    assert not (runs.path / ".lpca").exists()
