"""lpca as users have it: built as a wheel, in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
_CHANGES_A_RUN = re.compile("PYTHONPATH|PYTEST_|CI$|GITHUB_|(NO|FORCE|PY)_?COLOR")
SOURCES = ("lpca", "tests", "README.md", "pyproject.toml", "MANIFEST.in")


def build(kind: str, folder: Path) -> Path:
    """Build a `wheel` or an `sdist` from a copy of the sources, and return its path."""
    copy = folder / "copy"
    copy.mkdir(parents=True)
    for name in SOURCES:
        source, target = ROOT / name, copy / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", folder]
    done = subprocess.run([*command, copy], capture_output=True, text=True, env=plain_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (one for one in folder.iterdir() if one.is_file())
    return built


def install(wheel: Path, folder: Path) -> Path:
    """Install a wheel in a new environment and return the folder of its commands.

    The environment holds nothing else: what the wheel needs it sees in the packages of the one
    that runs the tests, which come after its own.
    """
    venv.create(folder, symlinks=True)
    bin_folder = folder / ("Scripts" if os.name == "nt" else "bin")
    python = bin_folder / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True, capture_output=True, env=plain_environment())
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    run = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True)
    others = Path(run.stdout.strip()) / "others.pth"
    others.write_text(sysconfig.get_path("purelib") + "\n")
    script = "#!{}\nimport sys\nimport pytest\nsys.exit(pytest.main())\n"
    (bin_folder / "pytest").write_text(script.format(python))
    (bin_folder / "pytest").chmod(0o755)
    return bin_folder


def plain_environment(bin_folder: Path | None = None, **more: str) -> dict[str, str]:
    """The environment without what would change a run; commands of a folder come first."""
    kept = {name: value for name, value in os.environ.items() if not _CHANGES_A_RUN.match(name)}
    if bin_folder is not None:
        kept["PATH"] = f"{bin_folder}{os.pathsep}{kept['PATH']}"
    return {**kept, **more}
