"""Every run's evidence, kept by what it holds: a second codec never takes the first one's place.

`.lpca/evidence/GATE-kK.json` is a gate's last run; `.lpca/evidence/runs/` has every run, each under
a name that says what was measured and ends on a hash of its content. The same content measured
again has the same name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lpca.base.errors import RequestError
from lpca.base.files import StorageError, read_json, write_json
from lpca.base.hashing import hash_data
from lpca.evidence.files import is_evidence, parse_altered, refuse_altered, write_evidence
from lpca.evidence.json_form import EvidenceError, to_data
from lpca.evidence.model import CodecFacts, Evidence

EVIDENCE = ".lpca/evidence"
"""Where a project keeps evidence, unless the run says otherwise."""
RUNS, LATEST = "runs", "latest.json"
"""Every run's evidence, and what names the last of them: no link, which not all systems have."""
_ID = 8
_OF_ONE_RUN = ("run", "command", "written", "seconds", "cache", "machine", "ledger")
"""What differs from run to run though the same was measured."""
_NO_NAME = re.compile(r"[^A-Za-z0-9_.]+")


def run_id(evidence: Evidence) -> str:
    """The beginning of a hash of what was measured and what came out, whenever and wherever."""
    # what the episodes came to is in `hashes`; all of them at once take much memory
    conditions = {name: replace(one, seconds=None) for name, one in evidence.conditions.items()}
    held = to_data(replace(evidence, episodes=(), conditions=conditions))
    return hash_data({name: held[name] for name in held if name not in _OF_ONE_RUN})[:_ID]


def run_name(evidence: Evidence) -> str:
    """What a run is called: gate, k, codec, receiver, training seed, spec, and `run_id`.

    It fits every file system: letters, digits, `_`, `.` and `-`, at most 150 of them.
    """
    codec, k = evidence.codec, evidence.k
    seed = None if codec is None else codec.seed
    parts = [
        _short(evidence.gate, 40),
        "" if k is None else f"k{k}",
        _short(codec_name(codec), 24),
        _short(receiver_name(evidence), 24),
        "" if seed is None else f"seed{seed}",
        f"spec{evidence.hashes.spec[:6]}",
        run_id(evidence),
    ]
    return "-".join(part for part in parts if part)


def codec_name(codec: CodecFacts | None) -> str:
    """What a codec is called in a list: its architecture; of one's own what it was named by."""
    return "" if codec is None else codec.architecture


def receiver_name(evidence: Evidence) -> str:
    """The receiver's name; of a path its last part."""
    name = evidence.receiver.name
    is_path = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_path else name


def _short(text: str, most: int) -> str:
    """A text as part of a file's name; what is too long keeps its end, which tells most."""
    return _NO_NAME.sub("_", text).strip("_.")[-most:]


def keep_run(folder: Path, evidence: Evidence) -> None:
    """Write a run's evidence under its own name into the folder of runs; WriteError if it cannot.

    The same content measured again takes its own place: it tells when that was last.
    """
    write_evidence(_place(folder, evidence), evidence)


def name_latest(folder: Path, evidence: Evidence) -> None:
    """Let `latest` name a run that is kept; WriteError where that cannot be written."""
    write_json(folder / LATEST, {"latest": _place(folder, evidence).name})


def _place(folder: Path, evidence: Evidence) -> Path:
    return folder / f"{run_name(evidence)}.json"


@dataclass(frozen=True)
class KeptRun:
    """One run's evidence, without its episodes, and where it stands."""

    path: Path
    id: str
    evidence: Evidence

    @property
    def name(self) -> str:
        """By which it is asked for, as its `id` is."""
        return self.path.stem


def kept_runs(folder: Path, tell: Callable[[str], None] = lambda text: None) -> list[KeptRun]:
    """Every run of a project, the oldest first.

    Evidence of before runs were kept, which stands in `folder` itself, is among them.

    Args:
        folder: the project's folder of evidence.
        tell: called with one line for each file that cannot be read, or was altered.
    """
    found: dict[tuple[str, str], KeptRun] = {}
    for path in _files(folder):
        try:
            if (run := _read(path)) is not None:
                # the gate's last run stands in both places
                found.setdefault((run.id, run.evidence.run), run)
        except (StorageError, EvidenceError) as error:
            tell(str(error) if str(path) in str(error) else f"{path}: {error}")
    return sorted(found.values(), key=lambda run: (run.evidence.written, run.name))


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted((folder / RUNS).glob("*.json")) if path.name != LATEST)
    for place in (folder, folder / "validation"):
        yield from sorted(place.glob("*.json"))


def _read(path: Path) -> KeptRun | None:
    """None for a file that is no evidence."""
    data: Any = read_json(path)
    if not is_evidence(data):
        return None
    evidence = parse_altered({**data, "episodes": []})
    refuse_altered(data)
    return KeptRun(path, run_id(evidence), evidence)


def run_named(text: str, folder: Path = Path(EVIDENCE)) -> Path:
    """The file of evidence that a command was given: a path, `latest`, or a run's name or id.

    Args:
        text: a file's path, else the unique beginning of a run's name or of its id.
        folder: the project's folder of evidence.

    Returns:
        The file; `text` itself as a path where the project keeps no run.

    Raises:
        RequestError: no run, or more than one, begins so.

    Example:
        >>> run_named("docs/experiments/gate1-attempt-04.json").name
        'gate1-attempt-04.json'
    """
    path, runs = Path(text), folder / RUNS
    if text == "latest" and not path.exists() and not (runs / LATEST).exists():
        raise RequestError(f"latest: no run is kept in {runs} yet")
    if path.exists() or not runs.is_dir() or path.suffix or len(path.parts) > 1:
        return path
    if text == "latest":
        return _latest(runs)
    names = [one.stem for one in sorted(runs.glob("*.json")) if one.name != LATEST]
    fitting = [name for name in names if name.startswith(text) or name[-_ID:].startswith(text)]
    if len(fitting) > 1:
        told = ", ".join(name[-_ID:] for name in fitting[:5])
        raise RequestError(f"{text!r:.60}: {len(fitting)} runs begin so, such as {told}")
    if not fitting:
        raise RequestError(f"{text!r:.60}: no file, and no run begins so; lpca runs lists them")
    return runs / f"{fitting[0]}.json"


def _latest(runs: Path) -> Path:
    held = read_json(runs / LATEST)
    name = held.get("latest") if isinstance(held, dict) else None
    if not isinstance(name, str) or Path(name).name != name:
        raise StorageError(f"{runs / LATEST}: it names no run; lpca runs lists them")
    return runs / name
