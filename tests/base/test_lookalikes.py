"""Ways to write a word that a reader takes for it, and words that are none of it."""

from __future__ import annotations

import pytest

from lpca.base.lookalikes import folded


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("O\u202eslo", id="direction mark"),
        pytest.param("Os\u2060l\u00ado", id="word joiner and soft hyphen"),
        pytest.param("\uff2f\uff53\uff4c\uff4f", id="full width"),
        pytest.param("O\u20ddslo", id="enclosing mark"),
        pytest.param("Os\u0336l\u0336o", id="struck out"),
        pytest.param("\U0001f15e\U0001f162\U0001f15b\U0001f15e", id="negative circled"),
        pytest.param("\U0001f17e\U0001f182\U0001f17b\U0001f17e", id="negative squared"),
        pytest.param("\U0001f1f4\U0001f1f8\U0001f1f1\U0001f1f4", id="regional indicators"),
        pytest.param("\u24aa\u24ae\u24a7\u24aa", id="in parentheses"),
        pytest.param("\U000e004f\U000e0073\U000e006c\U000e006f", id="tag characters"),
        pytest.param("\u041e\u0455\u04cf\u043e", id="Cyrillic, with a palochka"),
        pytest.param("\ua4f3\ua4e2\ua4e1\ua4f3", id="Lisu"),
        pytest.param("\u1d0f\ua731\u029f\u1d0f", id="small capitals"),
        pytest.param("OsIo", id="a capital I within"),
        pytest.param("Os|o", id="a bar within"),
        pytest.param("os1o", id="a digit within"),
        pytest.param("O\u2800slo", id="a blank pattern of dots"),
        pytest.param("O\x00slo", id="a control character"),
    ],
)
def test_what_reads_as_a_word_folds_to_it(text: str) -> None:
    assert folded(text) == folded("Oslo") == "oslo"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\u00d3sl\u00f3", "Oslo"),
        ("hall", "hail"),
        ("Iris", "lris"),
        ("a1", "al"),
        ("x<y", "x>y"),
        ("B12", "Bl2"),
        ("w=1 x=0", "w=l x=o"),
    ],
)
def test_what_reads_otherwise_stays_apart(one: str, other: str) -> None:
    assert folded(one) != folded(other)
