"""The validity checks of every gate: one fails, and the gate is INVALID."""


def test_leak(leak_check, leak_result):
    assert leak_result["passed"], leak_result["detail"]
