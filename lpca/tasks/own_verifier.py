"""Somebody's own verifier: a function that marks what B said, in a process that can do no more.

It runs behind the wall that codecs run behind (`lpca.channel`): it reads neither outcomes nor
ledger, writes in a folder of its own alone, has no network, and a time and memory of its own. It is
told what B said and the row, never the condition. The validity checks ask a new process of it once
more for every answer, in another order: marks that depend on more than answer and row make the gate
INVALID.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lpca.base.errors import RunError
from lpca.base.files import cache_dir
from lpca.base.hashing import hash_file
from lpca.base.named_code import refuse_missing
from lpca.channel.side import Side, SideError, Wall

SECONDS = 60.0
"""How long importing it and each of its marks may take."""
MEMORY = 4 << 30
SERVE = "lpca.tasks.verifier_child:serve"
_running: dict[tuple[int, str, str, tuple[str, ...]], OwnVerifier] = {}


class VerifierError(RunError):
    """A verifier gives no mark, or none that can be one; the text is one line."""


class OwnVerifier:
    """A verifier and its process, which begins with the first answer.

    Args:
        text: "package.module:function".
        folders: from where its module is importable beside Python's own.
    """

    def __init__(self, text: str, folders: Sequence[str]) -> None:
        self.text, self.folders = text, folders
        self._folder = tempfile.TemporaryDirectory(prefix="lpca-verifier-")
        hidden = [cache_dir(), *(Path(folder) / ".lpca" for folder in folders)]
        wall = Wall(hidden=tuple(hidden), seconds=SECONDS, memory=MEMORY, option="")
        start = {"verifier": text, "folders": list(folders)}
        listed = [Path(folder) for folder in folders]
        what = f"verifier {text}"
        self._side = Side(what, SERVE, start, Path(self._folder.name), wall, listed)

    @property
    def ended(self) -> bool:
        """Whether its process is gone."""
        return self._side.ended

    def close(self) -> None:
        """End its process."""
        self._side.close()
        self._folder.cleanup()

    def mark(self, said: str, row: Mapping[str, Any]) -> float:
        """Return its mark of what was said.

        Raises:
            VerifierError: it gives none.
        """
        try:
            told, _ = self._side.ask({"ask": "marking", "said": said, "row": dict(row)})
        except SideError as error:
            raise VerifierError(str(error)) from None
        if "error" in told:
            raise VerifierError(f"verifier {self.text}: {told['error']}")
        mark = told.get("mark")
        if not isinstance(mark, float) or not 0.0 <= mark <= 1.0:
            raise VerifierError(f"verifier {self.text}: its process gives no mark")
        return mark


def end_own_verifiers() -> None:
    """End the processes of all verifiers, and what they may have kept in mind."""
    while _running:
        _running.popitem()[1].close()


def code_of(text: str, folders: Sequence[Path]) -> str:
    """Return a hash of the file that a verifier stands in, which is not imported here.

    Raises:
        RequestError: there is no such module, or no such function in it.
    """
    file = refuse_missing(text, folders, "verifier")
    return hash_file(file) if file else ""


def own_mark(
    text: str, code: str, folders: Sequence[str], said: str, row: Mapping[str, Any]
) -> float:
    """Return the mark of a verifier whose process is begun where there is none.

    Args:
        text: "package.module:function".
        code: its code's hash: another code is another process.
        folders: as for `OwnVerifier`.
        said: the line that is marked.
        row: what the verifier is told beside it.

    Raises:
        VerifierError: it gives none.
    """
    key = (os.getpid(), text, code, tuple(folders))
    found = _running.get(key)
    if found is None or found.ended:
        try:
            found = _running[key] = OwnVerifier(text, folders)
        except SideError as error:
            raise VerifierError(str(error)) from None
    return found.mark(said, row)
