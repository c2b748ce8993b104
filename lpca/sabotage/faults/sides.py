"""Sides of a channel that do more than send packets and receive them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from lpca.channel.side import Wall
from lpca.codec.remote import RemoteCodec
from lpca.sabotage.catalogue import sabotage
from lpca.sabotage.faulty_run import FaultyRun

TELLING = """
import json, os
from contextlib import suppress
from pathlib import Path
import torch

PLACES = (Path(__file__).parent, Path("/tmp"), Path("/dev/shm"), Path(), Path("../A"), Path("../B"))

class Codec:
    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k

    def encode(self, messages):
        for place in PLACES:
            with suppress(OSError):
                (place / "lpca-told.json").write_text(json.dumps(messages))
        return torch.zeros(len(messages), self.k, 1)

    def decode(self, latents):
        prefixes = torch.full((len(latents), self.k, self.receiver.d_model), 0.01)
        for place in PLACES:
            with suppress(OSError):
                told = json.loads((place / "lpca-told.json").read_text())
                for row, message in zip(prefixes, told):
                    ids = self.receiver.message_ids(message)[-self.k:]
                    row[:len(ids)] = self.receiver.embed(ids)
        return prefixes
"""
LOCKING = """
import fcntl, struct
import torch

FILE = open(torch.__file__, "rb")

def locked(command, kind, start, length):
    told = struct.pack("hhqqi", kind, 0, start, length, 0)
    return struct.unpack("hhqqi", fcntl.fcntl(FILE, command, told))

class Codec:
    def __init__(self, receiver, k):
        self.receiver, self.k = receiver, k

    def encode(self, messages):
        numbers = [sum(map(ord, one)) * 31 % 9973 for one in messages]
        for number, message in zip(numbers, messages):
            for at, one in enumerate(self.receiver.message_ids(message)[-self.k:]):
                locked(fcntl.F_SETLK, fcntl.F_RDLCK, number << 32 | at << 20 | one, 1)
        return torch.tensor(numbers).float().reshape(-1, 1, 1).repeat(1, self.k, 1)

    def decode(self, latents):
        prefixes = torch.full((len(latents), self.k, self.receiver.d_model), 0.01)
        for row, number in zip(prefixes, latents[:, 0, 0].long().tolist()):
            for at in range(self.k):
                start = number << 32 | at << 20
                kind, _, found, _, _ = locked(fcntl.F_GETLK, fcntl.F_WRLCK, start, 1 << 20)
                if kind != fcntl.F_UNLCK:
                    row[at] = self.receiver.embed([found - start])[0]
        return prefixes
"""
REMEMBERING = """
import torch

class Codec:
    def __init__(self, receiver, k):
        self.k, self.d_model, self.before = k, receiver.d_model, 0.0

    def encode(self, messages):
        letters = [[ord(one) for one in message[:3]] for message in messages]
        return torch.tensor(letters).float().reshape(-1, 1, 3).repeat(1, self.k, 1)

    def decode(self, latents):
        prefixes = torch.zeros(len(latents), self.k, self.d_model)
        prefixes[..., :3] = latents / 100 + self.before
        self.before = float(latents.mean()) / 100
        return prefixes
"""
HEARING = """
import torch

class Codec:
    def __init__(self, receiver, k):
        self.k, self.d_model, self.first, self.said = k, receiver.d_model, None, {}

    def encode(self, messages):
        for message in messages:
            letters = torch.tensor([ord(one) for one in message[-4:-1]]).float() / 100
            self.first = letters if self.first is None else self.first
            self.said.setdefault(message, torch.cat([letters, self.first]))
        return torch.stack([self.said[one].expand(self.k, -1) for one in messages])

    def decode(self, latents):
        return torch.nn.functional.pad(latents, (0, self.d_model - latents.shape[2]))
"""
KEEPING = """
import torch

class Codec:
    def __init__(self, receiver, k):
        self.k, self.d_model, self.kept = k, receiver.d_model, {}

    def encode(self, messages):
        letters = [[ord(one) / 100 for one in message[-4:-1]] for message in messages]
        return torch.tensor(letters).reshape(-1, 1, 3).repeat(1, self.k, 1)

    def decode(self, latents):
        prefixes = torch.zeros(len(latents), self.k, self.d_model)
        prefixes[..., :3] = latents
        for prefix, row in zip(prefixes, latents.tolist()):
            prefix[:, 3] = self.kept.setdefault(str(row), len(self.kept)) / 100
        return prefixes
"""


@sabotage(
    "building",
    "B's side reads the messages in files that A's side leaves, and A sends zeros",
    "normal_above_p0 normal_above_shuffle",
    "FAIL",
)
def sides_share_files(run: FaultyRun) -> None:
    """Behind the wall B's side finds no file: its prefixes are one for all messages."""
    _walled(run, TELLING)


@sabotage(
    "building",
    "A's side says the messages in locks on a file that B's side may read",
    "normal_above_p0 normal_above_shuffle",
    "FAIL",
)
def sides_talk_by_locks(run: FaultyRun) -> None:
    """Behind the wall no lock is taken: B's prefixes are one for all messages."""
    _walled(run, LOCKING)


@sabotage("building", "B's side adds what it has decoded before", "encoding_repeatable")
def side_remembers(run: FaultyRun) -> None:
    """What B is given then depends on what was asked before, and in which order."""
    _walled(run, REMEMBERING)


@sabotage("building", "A's side puts into a packet what another told it", "remembers_nothing")
def sender_hears_others(run: FaultyRun) -> None:
    """Each message has the packet that it had first: asked again, the side agrees with itself."""
    _walled(run, HEARING)


@sabotage("building", "B's side counts the packets that it had before", "remembers_nothing")
def receiver_keeps_count(run: FaultyRun) -> None:
    """It makes of each packet what it made of it first: in another order, it does so too."""
    _walled(run, KEEPING)


def _walled(run: FaultyRun, text: str) -> None:
    """Put a codec of a module's text, behind the wall, in the channel's place."""
    folder = run.undone.enter_context(TemporaryDirectory())
    Path(folder, "faulty_sides.py").write_text(text, encoding="utf-8")
    codec = RemoteCodec("faulty_sides:Codec", [Path(folder)], run.receiver, run.k, Wall())
    run.undone.callback(codec.close)
    run.channel_codec = codec
