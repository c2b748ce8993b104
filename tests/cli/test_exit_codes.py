import pytest

from lpca.base.errors import ExitCode, worst


def test_codes_are_those_documented():
    assert {code.name: code.value for code in ExitCode} == {
        "PASS": 0,
        "FAIL": 1,
        "INTERRUPTED": 2,
        "INTERNAL_ERROR": 3,
        "USAGE_ERROR": 4,
        "NO_TESTS": 5,
        "INCONCLUSIVE": 6,
        "INVALID": 7,
        "NOT_MEASURED": 8,
        "EXPLORED": 9,
    }


def test_the_worst_of_several_wins_in_the_documented_order():
    order = [2, 3, 4, 8, 7, 1, 6, 9, 5, 0]
    for index, code in enumerate(order):
        assert worst(reversed(order[index:])) == code


def test_nothing_run_is_never_a_pass():
    assert worst([]) is ExitCode.NO_TESTS


def test_an_unknown_code_is_refused():
    with pytest.raises(ValueError, match="10"):
        worst([0, 10])
