from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from drawn_evidence import evidence, invalid

from lpca.base.hashing import with_hash
from lpca.commands.cli import main


def write(folder: Path, name: str, found: Any) -> str:
    path = folder / f"{name}.json"
    if isinstance(found, dict) and "schema" in found:
        found = with_hash({**found, "schema": 3})
    path.write_text(json.dumps(found))
    return str(path)


def test_it_writes_what_the_files_allow_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [
        write(tmp_path, "main-k2", evidence(k=2)),
        write(tmp_path, "main-k4", evidence(k=4, similarity=None)),
        write(tmp_path, "main-k8", {**invalid(), "k": 8, "codec": None, "similarity": None}),
    ]
    out = tmp_path / "pictures"
    assert main(["plot", *files, "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [Path(line).name for line in printed] == [
        "main-k2-glance.svg",
        "main-k2-training.svg",
        "main-k2-similarity.svg",
        "main-k4-glance.svg",
        "main-k4-training.svg",
        "main-k8-glance.svg",
        "main-capability.svg",
    ]
    assert sorted(map(str, out.iterdir())) == sorted(printed)
    assert all(Path(line).read_bytes().startswith(b"<?xml") for line in printed)


def test_an_older_evidence_still_has_its_glance(tmp_path: Path) -> None:
    old = evidence(codec=None)
    del old["similarity"]
    assert main(["plot", write(tmp_path, "old", old), "--out", str(tmp_path / "p")]) == 0
    assert [one.name for one in (tmp_path / "p").iterdir()] == ["old-glance.svg"]


@pytest.mark.parametrize("format", ["pdf", "png"])
def test_other_formats(tmp_path: Path, format: str) -> None:
    file = write(tmp_path, "main", evidence())
    assert main(["plot", file, "--out", str(tmp_path / "p"), "--format", format]) == 0
    signature = {"pdf": b"%PDF", "png": b"\x89PNG"}[format]
    for one in (tmp_path / "p").iterdir():
        assert one.read_bytes().startswith(signature)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ([evidence(), {**evidence(), "gate": "other"}], "several gates: main, other"),
        ([{"some": "json"}], "0.json: no evidence"),
        ([[1, 2]], "0.json: no evidence"),
        (
            [{**evidence(), "looks": {"used": 1}, "criteria": [{}]}],
            "0.json: criteria[0].id is missing",
        ),
        ([{**evidence(), "conditions": 3}], "0.json: conditions is 3; allowed: an object"),
        ([evidence({}), {**evidence({}), "k": 8, "score": "greedy"}], "different score"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    contents: list[Any],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = [write(tmp_path, str(index), one) for index, one in enumerate(contents)]
    out = tmp_path / "pictures"
    assert main(["plot", *files, "--out", str(out)]) == 4
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_unknown_format_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "main", evidence())
    with pytest.raises(SystemExit) as end:
        main(["plot", file, "--out", str(tmp_path / "p"), "--format", "bmp"])
    assert end.value.code == 4
    assert "svg" in capsys.readouterr().err


def test_files_of_one_name_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").mkdir()
    files = [write(folder, "main", evidence()) for folder in (tmp_path, tmp_path / "other")]
    assert main(["plot", *files, "--out", str(tmp_path / "p")]) == 4
    assert "two files of one name" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plot", str(tmp_path / "no.json"), "--out", str(tmp_path / "p")]) == 4
    assert "no.json: there is no such file" in capsys.readouterr().err


def lab(folder: Path, *codecs: tuple[str, int, Any]) -> str:
    """A lab's folder: rows and seeds hold files of one name."""
    rows = []
    for index, (row, seed, found) in enumerate(codecs):
        place = f"evidence/{index}"
        (folder / place).mkdir(parents=True)
        write(folder / place, "main-k4", found)
        rows.append({"row": row, "k": 4, "seed": seed, "evidence": f"{place}/main-k4.json"})
    rows.append({"row": "later", "k": 4, "seed": 0, "verdict": None})
    write(folder, "table", {"codecs": rows})
    return str(folder)


def test_a_labs_folder_stands_for_every_codec_measured(tmp_path: Path) -> None:
    bare = evidence(codec=None, similarity=None)
    folder = lab(tmp_path / "lab", ("VQ 64", 0, bare), ("VQ 64", 1, bare), ("MSE + ../x", 0, bare))
    assert main(["plot", folder, "--out", str(tmp_path / "p")]) == 0
    assert sorted(one.name for one in (tmp_path / "p").iterdir()) == [
        "main-k4-mse-x-seed0-glance.svg",
        "main-k4-vq-64-seed0-glance.svg",
        "main-k4-vq-64-seed1-glance.svg",
    ]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (None, "no table.json is there"),
        ([1], "no table of lpca lab"),
        ({"codecs": [{"row": 1, "seed": 0, "evidence": "x"}]}, "no table of lpca lab"),
        ({"codecs": [{"row": "a", "verdict": None}]}, "no codec of it is measured yet"),
    ],
)
def test_another_folder_is_refused_in_one_line(
    table: Any, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if table is not None:
        write(tmp_path, "table", table)
    assert main(["plot", str(tmp_path), "--out", str(tmp_path / "p")]) == 4
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
