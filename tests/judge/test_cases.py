"""Small tables of outcomes whose right answer is known: eight documents are not forty."""

from pathlib import Path

import pytest

from lpca.commands.cli import main

CASES = Path(__file__).with_name("cases")


@pytest.fixture
def judge(capsys):
    """The exit code of `lpca judge`, what it prints, and the verdicts that it begins lines with."""

    def judge(name, *argv, n=40):
        path = name if isinstance(name, Path) else CASES / name
        code = main(["judge", str(path), "--spec", str(CASES / f"spec-n{n}.yaml"), *argv])
        caught = capsys.readouterr()
        return code, caught.out, caught.err

    return judge


def verdicts(text):
    """The gate's line and those of its criteria, as they begin."""
    words = ("PASS:", "FAIL:", "INCONCLUSIVE:", "gate1:")
    return [line.strip() for line in text.splitlines() if line.strip().startswith(words)]


def test_eight_documents_five_times_are_eight(judge):
    code, text, _ = judge("eight-documents-five-times.csv")
    assert code == 6
    assert "40 episodes in 8 groups do not decide" in text


def test_forty_documents_once_are_decided_as_without_groups(judge, tmp_path):
    lines = (CASES / "forty-documents-once.csv").read_text(encoding="utf-8").splitlines()
    bare = tmp_path / "bare.csv"
    bare.write_text(
        "\n".join(",".join(c for i, c in enumerate(line.split(",")) if i != 1) for line in lines)
    )
    code, text, _ = judge("forty-documents-once.csv", "--verbose")
    other, said, _ = judge(bare, "--verbose")
    assert (code, other) == (0, 0)
    note, _, rest = said.partition("\n\n")
    assert rest == text
    assert note.strip() == "no column group: each episode counts as one piece of evidence"


def test_half_of_the_declared_episodes_are_not_measured(judge):
    code, text, _ = judge("half-of-the-declared-episodes.csv")
    assert code == 8
    assert "20 episodes; the spec declares 40" in text


def test_three_repeats_of_an_episode_are_one_unit(judge):
    code, text, _ = judge("long-form-three-repeats.csv")
    once, said, _ = judge("forty-documents-once.csv")
    assert (code, once) == (0, 0)
    assert verdicts(text) == verdicts(said)
    assert "40 episodes\n" in text


def test_marks_are_decided_over_groups_where_the_spec_has_a_graded_score(judge, tmp_path):
    spec = (CASES / "spec-n200.yaml").read_text(encoding="utf-8")
    graded = tmp_path / "graded.yaml"
    graded.write_text(spec.replace("n: 200", "n: 200, score: graded"), encoding="utf-8")
    code, text, _ = judge("graded-f1.csv", "--spec", str(graded))
    assert code == 0
    assert "200 episodes in 50 groups count as" in text
    (row,) = [line.split() for line in text.splitlines() if line.startswith("  normal ")]
    marks = [line.split(",")[3] for line in (CASES / "graded-f1.csv").read_text().split()[1:]]
    assert row[1:3] == ["mean", f"{100 * sum(map(float, marks)) / 200:.1f}"]


def test_marks_are_refused_with_the_advice_where_the_spec_has_no_graded_score(judge):
    code, text, error = judge("graded-f1.csv", n=200)
    assert (code, text) == (4, "")
    assert "p0 is not binary in line 2 (0.141)" in error
    assert error.endswith("the spec's evaluation needs score: graded\n")
