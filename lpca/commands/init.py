"""`lpca init`: a project of gates to begin with; all of its files are written, or none."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from lpca.base import PACKAGE
from lpca.base.errors import ExitCode, RequestError

REQUIREMENTS = "requirements.txt"
_YOURS = re.compile(r"\s*# yours, (?P<number>\d) of \d: (?P<what>.*)")


@dataclass(frozen=True)
class Place:
    """A line that a user changes: `what` goes there."""

    number: int
    file: str
    line: int
    text: str
    what: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(), help="where; default: this folder"
    )
    parser.add_argument(
        "--lpca",
        metavar="WHERE",
        help="what requirements.txt installs: a version, a wheel's URL, or git+URL@REVISION",
    )
    rows = parser.add_argument_group("around rows of your own")
    rows.add_argument(
        "--from", dest="source", metavar="ROWS", help="a JSONL, CSV or Parquet file, or hf:NAME"
    )
    rows.add_argument(
        "--map",
        dest="columns",
        metavar="FIELD=COLUMN,...",
        help="message=...,question=...,answer=...",
    )
    rows.add_argument("--context", metavar="TEXT", help="what B reads: {message} and {question}")
    rows.add_argument(
        "--receiver", metavar="NAME", help="the rates are measured on it; default: stub"
    )
    rows.add_argument(
        "--options", type=int, metavar="N", help="for rows that name none; default: 4"
    )
    rows.add_argument("--n", type=int, metavar="N", help="episodes a gate; default: by power")
    rows.add_argument(
        "--seed", type=int, metavar="N", help="of options and test episodes; default: 1"
    )


def run(arguments: argparse.Namespace) -> ExitCode:
    """Write the project, and say what to run and what to change; nothing is ever overwritten."""
    folder: Path = arguments.folder
    asked = {
        name: held
        for name in ("columns", "context", "receiver", "options", "n", "seed")
        if (held := getattr(arguments, name)) is not None
    }
    if arguments.source is None and asked:
        raise RequestError("lpca init: --map and what goes with it: allowed: beside --from")
    files = project_files()
    if (wanted := requirement(arguments.lpca)) is not None:
        kept = files[REQUIREMENTS].decode().removesuffix("lpca\n")
        files = {**files, REQUIREMENTS: f"{kept}{wanted}\n".encode()}
    told: Sequence[str] = ()
    if arguments.source is not None:
        from lpca.commands.init_from import Asked, project_of

        refuse_in_the_way(folder, files)
        own, told = project_of(Asked(arguments.source, **asked))
        files = {**files, **own}
    names = write_project(folder, files)
    print(f"{len(names)} files written to {folder}:", *(f"  {name}" for name in names), sep="\n")
    if told:
        print("", *told, "README.md says what was decided, and why.", sep="\n")
    print("\nnext:")
    if folder != Path():
        print(f"  cd {shlex.quote(str(folder))}")
    print("  lpca check\n  pytest gates/\n\nthen put your own in place of the sample:")
    for place in places(files):
        print(f"  {f'{place.file}:{place.line}':18} {place.text}")
        print(f"  {'':18} {place.what}")
    if wanted is None:
        print(
            f"\n{REQUIREMENTS}: its last line asks an index for lpca; write there where CI finds it"
        )
        print("  (lpca @ git+URL@REVISION, or a wheel's URL, as --lpca does)")
    return ExitCode.PASS


def requirement(where: str | None) -> str | None:
    """The line by which pip installs this lpca elsewhere.

    Args:
        where: a version, a URL of a wheel, or `git+URL@REVISION`; None for where this one is from.

    Returns:
        The line; None where it is not known, for it was installed from a folder or an index.

    Raises:
        RequestError: it is none of these.

    Example:
        >>> requirement("0.1.0"), requirement("git+https://example.org/lpca@v1")
        ('lpca==0.1.0', 'lpca @ git+https://example.org/lpca@v1')
    """
    if where is None:
        return _installed_from_git()
    if re.fullmatch(r"\d+(\.\w+)+", where):
        return f"lpca=={where}"
    if re.fullmatch(r"https?://\S+\.whl|git\+\w+://\S+@\S+", where):
        return f"lpca @ {where}"
    raise RequestError(
        f"--lpca {where[:80]}: allowed: a version (0.1.0), https://.../NAME.whl, or "
        "git+https://...@REVISION"
    )


def _installed_from_git() -> str | None:
    try:
        told = json.loads(distribution("lpca").read_text("direct_url.json") or "{}")
        return f"lpca @ git+{told['url']}@{told['vcs_info']['commit_id']}"
    except (PackageNotFoundError, ValueError, KeyError):
        return None


def project_files() -> Mapping[str, bytes]:
    """The project's files by their path within it; `dot_` begins a hidden one's template."""
    root, found = PACKAGE / "templates", dict[str, bytes]()
    for path in root.rglob("*"):
        parts = [re.sub("^dot_", ".", part) for part in path.relative_to(root).parts]
        if path.is_file() and "__pycache__" not in parts:
            found["/".join(parts)] = path.read_bytes()
    return {name: found[name] for name in sorted(found, key=PurePosixPath)}


def places(files: Mapping[str, bytes] | None = None) -> list[Place]:
    """The lines where a user's own codec, receiver and episodes go; of the sample unless given."""
    found = []
    for name, data in (project_files() if files is None else files).items():
        lines = data.decode("utf-8").splitlines()
        for index, line in enumerate(lines):
            if mark := _YOURS.fullmatch(line):
                after = lines[index + 1].strip()
                found.append(Place(int(mark["number"]), name, index + 2, after, mark["what"]))
    return sorted(found, key=lambda place: place.number)


def refuse_in_the_way(folder: Path, names: Iterable[str]) -> None:
    """Raise RequestError where one of a project's files is there already."""
    there = list(dict.fromkeys(one for name in names if (one := _in_the_way(folder, name))))
    if there:
        raise RequestError(
            f"{folder}: already there: {', '.join(there)}; allowed: a folder without them"
        )


def write_project(folder: Path, files: Mapping[str, bytes] | None = None) -> Sequence[str]:
    """Write a project, the sample unless others are given, and return its files' names.

    Raises RequestError, with nothing written, where one of them is there already or the folder
    cannot be written to.
    """
    project = project_files() if files is None else files
    refuse_in_the_way(folder, project)
    made: list[Path] = []
    try:
        for name, data in project.items():
            _write_new(folder / name, data, made)
    except BaseException as error:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        if not isinstance(error, OSError):
            raise
        why = f"{error.filename}: cannot be written: {error.strerror}; nothing was written"
        raise RequestError(why) from error
    return list(project)


def _write_new(path: Path, data: bytes, made: list[Path]) -> None:
    """Write a file that is not there, adding to `made` whatever is, to be taken back."""
    for parent in reversed([one for one in path.parents if not one.exists()]):
        parent.mkdir()
        made.append(parent)
    # exclusively: another process may have put something there since
    with path.open("xb") as stream:
        made.append(path)
        stream.write(data)


def _in_the_way(folder: Path, name: str) -> str | None:
    """What stands at a name, or in place of a folder that leads to it."""
    for within in reversed(PurePosixPath(name).parents):
        if (folder / within).exists() and not (folder / within).is_dir():
            return str(within)
    path = folder / name
    return name if path.exists() or path.is_symlink() else None
