"""What a table of outcomes holds beside the outcomes, and what it refuses."""

import pytest

from lpca.judge.outcomes import OutcomeError, OutcomeTable

REPEATED = OutcomeTable(
    seeds=(1, 1, 2, 2, 3, 3),
    outcomes={"normal": (1, 0, 1, 1, 0, 0)},
    answers=("seen", "seen", "unseen", "unseen", "seen", "seen"),
    groups=("a", "a", "b", "b", "a", "a"),
    donors=(2, 2, 3, 3, 1, 1),
    donor_groups=("b", "b", "a", "a", "a", "a"),
    repeats=("0", "1") * 3,
)


def test_parts_of_a_table_keep_everything_and_whole_episodes():
    assert (REPEATED.n, REPEATED.units, REPEATED.rate("normal")) == (6, 3, 0.5)
    head = REPEATED.head(2)
    assert (head.seeds, head.units, head.donors) == ((1, 1, 2, 2), 2, (2, 2, 3, 3))
    seen = REPEATED.stratum("seen")
    assert (seen.seeds, seen.groups, seen.repeats) == ((1, 1, 3, 3), ("a",) * 4, ("0", "1") * 2)
    assert seen.donor_groups == ("b", "b", "a", "a")
    assert seen.outcomes == {"normal": (1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"groups": ("a",)}, "1 groups for 2 episodes"),
        ({"seeds": (1, 1), "repeats": ("0", "0")}, "rows stand twice: 1 repeat 0"),
        ({"seeds": (1, 1)}, "episodes stand twice: 1"),
        (
            {"seeds": (1, 1), "repeats": ("0", "1"), "groups": ("a", "b")},
            "episodes are in two groups: 1",
        ),
        (
            {"seeds": (1, 1, 2), "repeats": ("0", "1", "0"), "outcomes": {"p0": (1, 1, 1)}},
            "repeats are missing of episodes 2; every episode needs all 2",
        ),
        ({"outcomes": {"p0": (0.5, 1)}}, "p0 is neither true nor false in episodes 1"),
        ({"outcomes": {"p0": (0.5, 1.5)}, "graded": True}, r"outside \[0, 1\] in episodes 2 \(1.5"),
        (
            {"outcomes": {"p0": (float("nan"), 1)}, "graded": True},
            r"outside \[0, 1\] in episodes 1",
        ),
    ],
)
def test_what_is_no_table_is_refused(table, says):
    with pytest.raises(OutcomeError, match=says):
        OutcomeTable(**{"seeds": (1, 2), "outcomes": {"p0": (1, 0)}, **table})


def test_marks_are_kept_and_their_mean_is_the_rate():
    table = OutcomeTable((1, 2), {"p0": (0.5, 1)}, graded=True)
    assert (table.rate("p0"), table.head(1).packed) == (0.75, {"p0": (0.5,)})
