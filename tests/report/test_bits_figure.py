"""Success against bits of a grid's rows: what is drawn, and what is only named."""

from __future__ import annotations

import re

import pytest

from lpca.report.figures.bits import bits_figure, has_bits
from lpca.report.figures.style import FigureError, svg


def rate(successes, bits):
    share = successes / 100
    held = {"successes": successes, "n": 100, "low": share - 0.05, "high": share + 0.05}
    return {**held, "bits": bits, "tokens": 4.0}


def codec(row, verdict, normal, bits, seed=0):
    texts = {"p0": rate(25, 0.0), "p2_2": rate(30, 16.0), "p2_64": rate(97, 400.0)}
    return {
        **{"row": row, "k": 4, "seed": seed, "verdict": verdict},
        "conditions": {**texts, "normal": rate(normal, bits)},
        "bits": {"bits": bits, "kind": "nominal"},
    }


def table(*codecs):
    about = {"n": 100, "answers": "seen", "score": "likelihood", "confidence": 0.95}
    return {**about, "receiver": {"name": "stub", "dtype": "float32"}, "codecs": list(codecs)}


def words(figure):
    return re.findall(r"<!-- (.*?) -->", svg(figure).decode())


def test_each_row_has_one_numbered_mark_and_its_verdicts():
    waiting = {"row": "late", "k": 4, "seed": 0, "verdict": None}
    broken = {"row": "broken", "k": 4, "seed": 0, "verdict": "NOT MEASURED", "conditions": {}}
    seeds = [codec("gist", "PASS", 90, 98304.0, 0), codec("gist", "FAIL", 30, 98304.0, 1)]
    drawn = table(codec("keywords", "PASS", 99, 37.0), *seeds, waiting, broken)
    assert has_bits(drawn)
    shown = words(bits_figure([drawn]))
    told = {"1 keywords: PASS", "2 gist: 1 PASS, 1 FAIL", "3 late: to be measured"}
    assert told | {"4 broken: NOT MEASURED"} <= set(shown)
    assert {"1", "2"} <= set(shown), "drawn"
    assert not {"3", "4"} & set(shown), "named alone"


def test_grids_are_drawn_below_one_another():
    both = bits_figure([table(codec("a", "PASS", 99, 37.0)), table(codec("b", "PASS", 9, 37.0))])
    assert {"1 a: PASS", "1 b: PASS"} <= set(words(both))


def test_without_text_cut_short_there_is_no_curve():
    one = codec("a", "PASS", 99, 37.0)
    del one["conditions"]["p2_2"], one["conditions"]["p2_64"]
    assert not has_bits(table(one))
    with pytest.raises(FigureError):
        bits_figure([table({"row": "late", "k": 4, "seed": 0, "verdict": None})])
