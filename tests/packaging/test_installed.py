"""The wheel in an environment of its own."""

import subprocess

import pytest
from installed import build, install, plain_environment

pytestmark = pytest.mark.slow

PLAIN = "def test_plain(request):\n    assert not hasattr(request.config.option, 'receiver')\n"
ASKED = "def test_asked(request):\n    assert request.config.getoption('--receiver') == 'stub'\n"


@pytest.fixture(scope="module")
def bin_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    return install(build("wheel", folder / "wheel"), folder / "venv")


@pytest.fixture
def run(bin_folder, tmp_path):
    def run(*command):
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=plain_environment(bin_folder),
            capture_output=True,
            text=True,
        )

    return run


def test_the_command_is_there_and_comes_from_the_wheel(run, bin_folder):
    found = run("python", "-c", "import lpca; print(lpca.__file__)").stdout
    assert str(bin_folder.parent) in found
    done = run("lpca", "--help")
    assert done.returncode == 0
    assert "doctor" in done.stdout


def test_the_doctor_finds_the_installation_whole(run):
    done = run("lpca", "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("a gate can run\n")


def test_a_suite_that_does_not_ask_for_the_plugin_does_not_get_it(run, tmp_path):
    (tmp_path / "test_plain.py").write_text(PLAIN)
    done = run("pytest", "--trace-config", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout
    assert "lpca.pytest_plugin" not in done.stdout
    assert run("pytest", "--receiver", "stub").returncode == 4


def test_one_that_asks_gets_it(run, tmp_path):
    assert run("lpca", "init").returncode == 0
    (tmp_path / "gates" / "test_asked.py").write_text(ASKED)
    done = run("pytest", "gates/test_asked.py", "-q")
    assert done.returncode != 4, done.stdout + done.stderr
    assert "1 passed" in done.stdout
