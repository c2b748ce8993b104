"""One test per criterion of the spec."""


def test_criterion(criterion, criterion_result):
    assert criterion_result["verdict"] == "PASS", criterion_result["message"]
