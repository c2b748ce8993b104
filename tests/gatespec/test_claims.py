from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lpca.gatespec.claims import ClaimError, parse_claim
from lpca.gatespec.model import CONDITIONS
from lpca.stats.claims import (
    Approximate,
    Band,
    BoundsComparison,
    Difference,
    Equivalence,
    Gain,
    Rate,
    Ratio,
)

ABOVE = Difference("normal", "p0", ">", 0.10)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("normal - p0 > 0.10", ABOVE),
        ("normal-p0>=.1", ABOVE),
        ("normal - p0 ≥ 1e-1", ABOVE),
        ("normal > p0 + 0.10", ABOVE),
        ("normal > 0.10 + p0", ABOVE),
        ("p0 + 0.10 < normal", ABOVE),
        ("0.10 < normal - p0", ABOVE),
        ("normal - 0.10 > p0", ABOVE),
        ("2*normal - 2*p0 > 0.20", ABOVE),
        ("-p0 + normal > 0.10", ABOVE),
        ("low(normal - p0) > 0.10", ABOVE),
        ("normal > null", Difference("normal", "null", ">", 0.0)),
        ("shuffle - p0 < 0", Difference("shuffle", "p0", "<", 0.0)),
        ("shuffle < p0", Difference("shuffle", "p0", "<", 0.0)),
        ("high(shuffle - p0) < 0", Difference("shuffle", "p0", "<", 0.0)),
        ("normal - p1 > -0.10", Difference("normal", "p1", ">", -0.10)),
        ("abs(null - p0) < 0.10", Equivalence("null", "p0", 0.10)),
        ("0.10 > abs(null - p0)", Equivalence("null", "p0", 0.10)),
        ("abs(-p0 + null) < 0.10", Equivalence("null", "p0", 0.10)),
        ("-0.10 < null - p0 < 0.10", Equivalence("null", "p0", 0.10)),
        ("2 * abs(null - p0) < 0.20", Equivalence("null", "p0", 0.10)),
        ("0.15 < p0 < 0.35", Band("p0", 0.15, 0.35)),
        ("0.35 > p0 > 0.15", Band("p0", 0.15, 0.35)),
        ("0.15 <= p0 <= 0.35", Band("p0", 0.15, 0.35)),
        ("normal > 0.30", Rate("normal", ">", 0.30)),
        ("0.30 < normal", Rate("normal", ">", 0.30)),
        ("shuffle < 0.20", Rate("shuffle", "<", 0.20)),
        ("low(normal) >= 0.30", Rate("normal", ">", 0.30)),
        ("ci_high(shuffle) < 0.20", Rate("shuffle", "<", 0.20)),
        ("normal - 0.5*p1 - 0.5*p0 > 0", Gain("normal", "p1", "p0", 0.5)),
        ("normal - 0.2*p0 - 0.8*p1 > 0", Gain("normal", "p1", "p0", 0.8)),
        ("normal - p0 > 0.5 * (p1 - p0)", Gain("normal", "p1", "p0", 0.5)),
        ("(normal - p0) / (p1 - p0) > 0.5", Gain("normal", "p1", "p0", 0.5)),
        ("0.5*p1 + 0.5*p0 < normal", Gain("normal", "p1", "p0", 0.5)),
        ("normal / p1 > 0.5", Ratio("normal", "p1", ">", 0.5)),
        ("0.5 < normal / p1", Ratio("normal", "p1", ">", 0.5)),
        ("normal > 0.5 * p1", Ratio("normal", "p1", ">", 0.5)),
        ("p1 / 2 < normal", Ratio("normal", "p1", ">", 0.5)),
        ("shuffle / p0 < 0.9", Ratio("shuffle", "p0", "<", 0.9)),
        ("low(normal) > high(shuffle)", BoundsComparison("normal", "shuffle", ">")),
        ("high(shuffle) < low(p0)", BoundsComparison("shuffle", "p0", "<")),
        ("lower(normal) > p0 + 0.05", BoundsComparison("normal", "p0", ">", 0.05)),
        ("null ~= p0", Approximate("null", "p0")),
        ("null ≈ p0", Approximate("null", "p0")),
        ("null == p0", Approximate("null", "p0")),
    ],
)
def test_claims_that_are_read(text, claim):
    assert parse_claim(text) == claim


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("normal - pO > 0.1", 9, "unknown condition 'pO'; did you mean"),
        ("nromal > p0", 0, "did you mean 'normal'?"),
        ("normal", 6, "the end where a comparison"),
        ("normal >", 8, "the end where a condition or a number"),
        ("> 3", 0, "'>' where a condition or a number"),
        ("normal > p0 p1", 12, "'p1' where an operator or the end"),
        ("normal $ p0", 7, "'$' has no meaning"),
        ("normal * p0 > 0.1", 7, "product of conditions"),
        ("normal / 0 > 0.1", 7, "division by zero"),
        ("normal - normal > 0", 0, "no condition is left"),
        ("1 < 2", 0, "no condition is left"),
        ("normal - p0 > 2", 0, "a margin is 2; allowed: -1 to 1"),
        ("normal > 1.5", 0, "a bound of a rate is 1.5; allowed: 0 to 1"),
        ("normal > 1e400", 9, "beyond any rate"),
        ("0.4 < p0 < 0.3", 0, "empty"),
        ("0.1 < p0 > 0.3", 9, "a band is written low < condition < high"),
        ("0.1 < p0 < 0.3 < 0.4", 15, "third comparison"),
        ("0.1 < normal - p0 < 0.3", 6, "equal margins"),
        ("abs(null - p0) < 0", 0, "the margin 0"),
        ("abs(null - p0) < -0.1", 0, "the margin -0.1"),
        ("abs(null - p0) > 0.1", 0, "only a difference below a margin"),
        ("abs(null) < 0.1", 0, "abs() takes a difference"),
        ("abs null < 0.1", 4, "'null' where '(' after abs"),
        ("abs(0.1) < 0.1", 0, "abs() takes conditions"),
        ("low(normal) < 0.30", 0, "shows nothing"),
        ("low(normal) > high(normal)", 0, "compared with itself"),
        ("low(normal) / p1 > 0.5", 0, "a ratio of bounds is no claim"),
        ("normal / low(p1) > 0.5", 0, "a ratio of bounds is no claim"),
        ("null ~= 0.25", 5, "say how near"),
        ("normal - p0 - p1 > 0", 0, "share of a gain"),
        ("normal / p1 > shuffle / p0", 0, "compared with a number"),
        ("(normal / p1) + 1 > 2", 14, "stand alone"),
        ("((((((((((normal > 1", 9, "nested"),
        ("normal > 0.1" + " " * 200, 200, "at most 200 characters"),
    ],
)
def test_what_is_no_claim_is_refused_at_its_column(text, offset, says):
    with pytest.raises(ClaimError) as caught:
        parse_claim(text)
    assert says in str(caught.value)
    assert caught.value.offset == offset


def test_a_condition_outside_the_gate_is_refused_with_the_gates_own():
    with pytest.raises(ClaimError, match=r"unknown condition 'shuffle'.*allowed: p0, normal"):
        parse_claim("normal - shuffle > 0", ("p0", "normal"))


WORDS = st.sampled_from(
    [*CONDITIONS, "abs", "low", "high", "0.5", "2", "1e9", ">=", "~=", *"><+-*/()$0. "]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(WORDS, max_size=14).map(" ".join))
def test_any_text_is_a_claim_or_a_claim_error(text):
    with suppress(ClaimError):
        assert parse_claim(text)
