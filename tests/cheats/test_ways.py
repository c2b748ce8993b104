"""What A's side tells by other ways than its packets, B's does not hear."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ways import NOT_EVERYWHERE, WAYS

from lpca.channel.side import Wall
from lpca.codec.user_codec import codec_named, obtain_own
from lpca.receivers.load import load_receiver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's ways")
K = 2
CODEC = """
import torch
from ways import WAYS
NAMES = list(WAYS)

class Tells:
    def __init__(self, receiver, k):
        self.k, self.d_model = k, receiver.d_model
    def encode(self, messages):
        try: WAYS[messages[0]].tell()
        except OSError: pass
        return torch.zeros(1, self.k, 1)
    def decode(self, latents):
        heard = 0.0
        try: heard = float(WAYS[NAMES[int(latents[0, 0, 0])]].heard())
        except OSError: pass
        return torch.full((1, self.k, self.d_model), heard)
"""


def laid_out(folder):
    """The ways' module in a folder of its own, and the files that it marks."""
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("ways.py"), folder / "ways.py")
    for number in range(5):
        (folder / f"marked{number}").write_text("as it was")
    # last read before it was last written: the next reading is noted
    os.utime(folder / "marked4", (1000, 2000))
    return folder


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    """One codec for all ways, whose two processes are started once."""
    folder = laid_out(tmp_path_factory.mktemp("ways") / "code")
    (folder / "tells.py").write_text(CODEC)
    before = [*sys.path]
    stub = load_receiver("stub", device="cpu")
    own = obtain_own(codec_named("tells:Tells", [folder]), stub, K, Wall((), 120.0))
    yield own.codec
    own.close()
    sys.path[:] = before


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_heard(sides, way):
    assert not sides.encode([way]).any()
    number = float(list(WAYS).index(way))
    assert not sides.decode(torch.full((1, K, 1), number)).any()


PLAIN = """
import sys
from ways import WAYS
for name, way in WAYS.items():
    try: {does}
    except OSError: pass
"""


def test_each_is_heard_where_nothing_keeps_processes_apart(tmp_path):
    """Else a way that does not work would pass for one that is closed."""
    folder = laid_out(tmp_path / "code")
    ends = "\nprint(flush=True); sys.stdin.read()\nfor way in WAYS.values():\n"
    ends += "    getattr(way, 'forget', int)()"
    command = [sys.executable, "-c"]
    for name in "AB":
        (tmp_path / name).mkdir()
    how = {"env": {**os.environ, "PYTHONPATH": str(folder)}, "text": True}
    told = subprocess.Popen(
        [*command, PLAIN.format(does="way.tell()") + ends],
        cwd=tmp_path / "A", stdin=subprocess.PIPE, stdout=subprocess.PIPE, **how,
    )  # fmt: skip
    assert told.stdout.readline() == "\n"
    hears = PLAIN.format(does="print(name) if way.heard() else None")
    heard = subprocess.run([*command, hears], cwd=tmp_path / "B", stdout=subprocess.PIPE, **how)
    told.communicate()
    assert set(WAYS) - NOT_EVERYWHERE <= set(heard.stdout.split())
