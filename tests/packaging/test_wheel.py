"""What `pip install lpca` brings: everything that lpca reads, and nothing else."""

import email
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import PurePosixPath

import pytest
from installed import ROOT, build, plain_environment

MOST_BYTES = 8_000_000
READ = """
from pathlib import Path
import lpca
here = Path(lpca.__file__).parent
assert here == Path({unpacked!r}) / "lpca", here

from lpca.receivers.load import load_receiver
assert load_receiver("stub", "cpu").layers > 0
from lpca.tasks.kinds.trip import city_names
assert len(city_names("train", "seen")) == 560
from lpca.codec.store import shipped_folder
from lpca.codec.checkpoint import read_identity
for architecture in ("token_pooler", "static_prefix"):
    assert read_identity(shipped_folder(4, architecture)).k == 4
from lpca.commands.init import places, project_files
assert len(places()) == 3
assert ".github/workflows/gates.yml" in project_files()
import lpca.commands.doctor, lpca.commands.init, lpca.pytest_plugin, lpca.gate.runner
print("read")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(unpacked):
    (info,) = unpacked.glob("*.dist-info")
    return email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))


def names_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename for one in archive.infolist() if not one.is_dir()}


def is_kept(path):
    return "__pycache__" not in path.parts and path.suffix != ".pyc"


def test_the_wheel_holds_the_package_whole_and_nothing_else(wheel):
    package = {one for one in (ROOT / "lpca").rglob("*") if one.is_file() and is_kept(one)}
    wanted = {one.relative_to(ROOT).as_posix() for one in package}
    names = names_of(wheel)
    info = {name for name in names if PurePosixPath(name).parts[0].endswith(".dist-info")}
    assert names - info == wanted
    assert {
        "lpca/py.typed",
        "lpca/receivers/stub/model.safetensors",
        "lpca/codec/shipped/smollm2-135m-token_pooler-k4/codec.safetensors",
        "lpca/tasks/data/cities.txt",
        "lpca/templates/dot_gitignore",
        "lpca/templates/dot_github/workflows/gates.yml",
        "lpca/templates/gates/test_leaks.py",
    } <= names
    assert wheel.stat().st_size < MOST_BYTES
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_metadata_say_what_pyproject_says(metadata):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert metadata["Name"] == project["name"] == "lpca"
    assert metadata["Version"] == project["version"]
    assert metadata["Summary"] == project["description"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().startswith("# LPCA\n")
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert not metadata.get_all("Project-URL")


def test_the_version_stands_once(metadata):
    import lpca

    assert metadata["Version"] == lpca.__version__


def test_the_plugin_is_no_entry_point_and_what_is_holds_paths_alone(unpacked):
    (info,) = unpacked.glob("*.dist-info")
    assert (info / "entry_points.txt").read_text().split() == [
        *("[console_scripts]", "lpca", "=", "lpca.commands.cli:main"),
        *("[pytest11]", "lpca-paths", "=", "lpca.base.pytest_paths"),
    ]


def test_everything_it_reads_is_in_the_wheel(unpacked, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", READ.format(unpacked=str(unpacked))],
        cwd=tmp_path,
        env=plain_environment(PYTHONPATH=str(unpacked)),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "read\n", done.stderr


def test_without_what_it_needs_the_doctor_says_so(unpacked, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r}); "
        "from lpca.commands.cli import main; sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "MEND  torch " in done.stdout
    assert "-m pip install 'allure-pytest>=" in done.stdout


@pytest.mark.slow
def test_the_source_archive_builds_the_same_wheel(wheel, tmp_path):
    with tarfile.open(build("sdist", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert not (source / "tests").exists()
    build_command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir"]
    subprocess.run(
        [*build_command, tmp_path / "again", source],
        check=True,
        capture_output=True,
        env=plain_environment(),
    )
    (again,) = (tmp_path / "again").iterdir()
    assert names_of(again) == names_of(wheel)
