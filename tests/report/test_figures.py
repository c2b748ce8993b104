from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import drawn_evidence
import pytest
from drawn_evidence import CLAIMS, RATES, N, evidence, invalid
from matplotlib import rc_context, rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from lpca.evidence.files import parse_evidence
from lpca.evidence.json_form import EvidenceError
from lpca.report.figures import capability, diagnosis, gate
from lpca.report.figures.diagnosis import scales_figure
from lpca.report.figures.style import FORMATS, FigureError, render, svg

HOSTILE = "axes.facecolor: red\nsvg.hashsalt: theirs\nfont.size: 30\nfigure.dpi: 37\n"
DIGESTS = """
import hashlib, sys
from drawn_evidence import evidence
from lpca.evidence.files import parse_evidence
from lpca.report.figures.diagnosis import similarity_figure, training_figure
from lpca.report.figures.gate import gate_figure
from lpca.report.figures.style import FORMATS, render
found = parse_evidence(evidence())
figures = gate_figure(found), similarity_figure(found.similarity, "main"), training_figure(found)
for figure in figures:
    for kind in FORMATS:
        print(hashlib.sha256(render(figure, kind)).hexdigest())
assert "matplotlib.pyplot" not in sys.modules
"""
SWEEP = {
    "checkpoint": "mine",
    "k": 4,
    "n": 100,
    "receiver": {"name": "stub"},
    "references": {
        "p0": {"successes": 25, "interval": [0.2, 0.3], "nll": 3.5},
        "p1": {"successes": 99, "interval": [0.9, 1.0], "nll": 0.1},
    },
    "scales": [
        {
            "scale": scale,
            "normal": {"successes": good, "interval": [good / 100 - 0.05, 1.0], "nll": 2.0},
            "shuffle": {"successes": 10, "interval": [0.05, 0.2], "nll": 4.0},
        }
        for scale, good in ((0.0, 25), (1.0, 90))
    ],
}


def gate_figure(found: dict[str, Any]) -> Figure:
    return gate.gate_figure(parse_evidence(found))


def training_figure(found: dict[str, Any]) -> Figure:
    return diagnosis.training_figure(parse_evidence(found))


def similarity_figure(found: dict[str, Any]) -> Figure:
    return diagnosis.similarity_figure(parse_evidence(found).similarity, "main, k = 4")


def capability_figure(found: list[dict[str, Any]]) -> Figure:
    return capability.capability_figure([parse_evidence(one) for one in found])


def lines(figure: Figure, start: str = "") -> dict[str, list[Line2D]]:
    """What is drawn, by its label."""
    found: dict[str, list[Line2D]] = {}
    for axes in figure.axes:
        for line in axes.lines:
            if (label := str(line.get_label())).startswith(start):
                found.setdefault(label, []).append(line)
    return found


def xs(line: Line2D) -> list[float]:
    return [float(x) for x in line.get_xdata()]


def texts(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.findobj(Text) if one.get_text()]


def test_the_same_evidence_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    tests = Path(drawn_evidence.__file__).parent
    found = []
    for seed, theirs in (("1", ""), ("2", HOSTILE)):
        folder = tmp_path / seed
        folder.mkdir()
        (folder / "matplotlibrc").write_text(theirs)
        paths = os.pathsep.join([str(tests), str(tests.parent), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        ran = subprocess.run(
            [sys.executable, "-c", DIGESTS],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(ran.stdout.split())
    assert found[0] == found[1]
    assert len(set(found[0])) == 3 * len(FORMATS)
    assert found[0][0] == hashlib.sha256(svg(gate_figure(evidence()))).hexdigest()


def test_the_users_settings_are_left_alone() -> None:
    with rc_context({"font.size": 31.0, "text.parse_math": True}):
        before = dict(rcParams)
        svg(gate_figure(evidence()))
        assert dict(rcParams) == before


def test_rates_are_drawn_as_the_evidence_has_them() -> None:
    found = evidence()
    drawn = lines(gate_figure(found), "rate ")
    assert list(drawn) == [f"rate {name}" for name in RATES]
    for name, count in RATES.items():
        assert xs(drawn[f"rate {name}"][0]) == [count / N]
        low, high = found["conditions"][name]["likelihood"]["interval"]
        assert any(xs(line) == [low, high] for line in gate_figure(found).axes[1].lines)
    greedy = lines(gate_figure(found), "other ")
    assert {name: xs(greedy[f"other {name}"][0]) for name in RATES} == {
        name: [count // 2 / N] for name, count in RATES.items()
    }


def test_rates_stand_row_under_row_within_their_panel_beside_their_names() -> None:
    figure = gate_figure(evidence())
    axes = figure.axes[1]
    ys = [float(line.get_ydata()[0]) for [line] in lines(figure, "rate ").values()]
    bottom, top = axes.get_ylim()
    assert top < ys[0]
    assert ys == sorted(ys)
    assert ys[-1] < bottom
    named = {text.get_text(): float(text.get_position()[1]) for text in axes.texts}
    assert [named[name] for name in RATES] == ys


def test_no_mark_is_cut_and_the_other_score_hides_no_interval() -> None:
    figure = gate_figure(evidence())
    own, other = ([line for [line] in lines(figure, start).values()] for start in ("rate", "other"))
    assert not any(line.get_clip_on() for line in (*own, *other))
    assert all(b.get_ydata()[0] > a.get_ydata()[0] for a, b in zip(own, other, strict=True))


def test_the_score_of_the_spec_is_the_one_that_stands_out() -> None:
    figure = gate_figure(evidence(score="greedy"))
    assert xs(lines(figure, "rate ")["rate normal"][0]) == [RATES["normal"] // 2 / N]
    assert xs(lines(figure, "other ")["other normal"][0]) == [RATES["normal"] / N]


def test_criteria_are_drawn_as_the_evidence_has_them() -> None:
    found = evidence()
    drawn = lines(gate_figure(found))
    for one in found["criteria"]:
        name = one["id"]
        margins = [xs(line) for line in drawn[f"margin {name}"]]
        assert margins == [[margin, margin] for margin in one["margins"]]
        if one["estimate"] is not None:
            assert xs(drawn[f"estimate {name}"][0]) == [one["estimate"]]
        low, high = one["interval"]
        start, stop = xs(drawn[f"interval {name}"][0])
        assert start == low or low == 0.0
        assert stop == high or high is None


def test_criteria_are_parted_from_their_names_to_their_verdicts() -> None:
    figure = gate_figure(evidence())
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes[2:]:
        rows = [line for line in axes.lines if str(line.get_label()).startswith("interval ")]
        parting = [line for line in axes.lines if line.get_zorder() == 0]
        assert len(parting) == max(0, len(rows) - 1)
        left = min((text.get_window_extent(renderer).x0 for text in axes.texts), default=0.0)
        right = max((text.get_window_extent(renderer).x1 for text in axes.texts), default=0.0)
        for line in parting:
            drawn = line.get_tightbbox(renderer)
            assert drawn.x0 <= left
            assert drawn.x1 >= right


def test_an_open_interval_ends_in_an_arrow_at_the_edge() -> None:
    found = evidence({"open_ended": CLAIMS["open_ended"]})
    (criterion,) = found["criteria"]
    assert criterion["estimate"] is None
    assert criterion["interval"][1] is None
    figure = gate_figure(found)
    axes = figure.axes[2]
    edge = axes.get_xlim()[1]
    assert [str(line.get_marker()) for line in axes.lines if xs(line) == [edge]] == [">"]
    assert xs(lines(figure, "interval ")["interval open_ended"][0])[1] == edge
    assert not lines(figure, "estimate ")
    assert any("∞" in text for text in texts(figure))


def test_the_shade_lies_where_the_claim_holds() -> None:
    found = evidence(
        {"above": "p1 - p0 > 0.1", "under": "p0 - p1 < 0.1", "near": "abs(null - p0) < 0.3"}
    )
    axes = gate_figure(found).axes[2]
    low, high = axes.get_xlim()
    spans = [(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches]
    assert spans == [pytest.approx(span) for span in ((0.1, high), (low, 0.1), (-0.3, 0.3))]


def test_verdicts_can_be_told_apart_without_colour() -> None:
    figure = gate_figure(evidence())
    verdicts = {one["id"]: one["verdict"] for one in evidence()["criteria"]}
    assert set(verdicts.values()) == {"PASS", "FAIL", "INCONCLUSIVE"}
    shapes: dict[str, set[tuple[str, bool]]] = {}
    for label, (line,) in lines(figure, "estimate ").items():
        hollow = line.get_markerfacecolor() == "white"
        shape = str(line.get_marker()), hollow
        shapes.setdefault(verdicts[label.removeprefix("estimate ")], set()).add(shape)
    assert all(len(one) == 1 for one in shapes.values())
    for one, other in combinations(shapes.values(), 2):
        assert not one & other
    written = texts(figure)
    for verdict in shapes:
        assert written.count(verdict) >= list(verdicts.values()).count(verdict)


def test_what_was_not_measured_is_hatched_and_named() -> None:
    found = evidence(left_out=["helps"])
    assert found["verdict"] == "NOT MEASURED"
    figure = gate_figure(found)
    hatched = {
        str(patch.get_label()): patch.get_hatch() for axes in figure.axes for patch in axes.patches
    }
    assert hatched["unread helps"]
    assert "estimate helps" not in lines(figure)
    assert any("helps was left out of this run" in text for text in texts(figure))


def test_of_an_invalid_gate_no_criterion_is_drawn() -> None:
    figure = gate_figure(invalid())
    for start in ("estimate ", "interval ", "margin "):
        assert not lines(figure, start)
    written = texts(figure)
    assert "INVALID" in written
    assert any("prompt_is_p0s: 400 prompts differ" in text for text in written)
    assert any("must not be read" in text for text in written)
    assert not any(f"/{N}" in text or criterion in text for text in written for criterion in CLAIMS)


def test_required_gates_are_drawn_before_the_gates_own() -> None:
    required = {**evidence({"text": "p1 - p0 > 0.2"}), "gate": "base"}
    found = evidence({"helps": "normal - p0 > 0.10"}, required=[required])
    assert list(lines(gate_figure(found), "estimate ")) == [
        "estimate base: text",
        "estimate helps",
    ]


@pytest.mark.parametrize("size", ["hard", "invalid", "one", "many"])
def test_no_text_is_cut_or_runs_into_a_panel(size: str) -> None:
    long = "_".join(["a_very_long_name_of_a_criterion"] * 4)
    found = {
        "hard": evidence({**CLAIMS, long: "normal - 0.25*p1 - 0.75*p0 > 0"}, title="$x$ " * 90),
        "invalid": {**invalid(), "reasons": [f"a_check: {'word ' * 80}"] * 20},
        "one": evidence({"text": "p1 > 0.9"}, {"p1": 190}, k=None),
        "many": evidence({f"criterion_{i}": "normal - p0 > 0.10" for i in range(30)}),
    }[size]
    figure = gate_figure(found)
    renderer = FigureCanvasAgg(figure).get_renderer()
    whole = figure.bbox
    for axes in figure.axes:
        panel = axes.get_window_extent(renderer)
        for text in axes.texts:
            box = text.get_window_extent(renderer)
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1, text.get_text()
            assert whole.y0 <= box.y0
            assert box.y1 <= whole.y1, text.get_text()
            if axes is not figure.axes[0] and axes.axison:
                assert box.x1 <= panel.x0 or panel.x1 <= box.x0, text.get_text()


def test_a_codec_of_unknown_seed_is_named() -> None:
    own = {"origin": "own", "architecture": "mine:make", "seed": None, "history": []}
    assert any("codec mine:make (own)" in text for text in texts(gate_figure(evidence(codec=own))))


@pytest.mark.parametrize("lacking", ["criteria", "conditions", "looks", "receiver", "verdict", "k"])
def test_broken_evidence_is_one_clear_error(lacking: str) -> None:
    found = evidence()
    del found[lacking]
    with pytest.raises(EvidenceError, match=f"^{lacking} is missing$"):
        gate_figure(found)


def test_a_claim_that_is_none_is_one_clear_error() -> None:
    found = evidence()
    found["criteria"][0]["claim"] = "normal is great"
    del found["schema"]
    with pytest.raises(EvidenceError, match="claim is 'normal is great'") as error:
        gate_figure(found)
    assert "\n" not in str(error.value)


def test_an_unknown_verdict_is_refused() -> None:
    with pytest.raises(EvidenceError, match="MAYBE"):
        gate_figure(evidence(verdict="MAYBE"))


@pytest.mark.parametrize("text", ["a\x1b[31m\x00b", "a \ud800", "<&>-- ]]>", "$x^", "\u4f60"])
def test_any_text_makes_whole_xml(text: str) -> None:
    found = evidence(title=text, gate=text)
    for draw in (gate_figure, training_figure, similarity_figure):
        assert ElementTree.fromstring(svg(draw(found))).tag.endswith("svg")


@pytest.mark.filterwarnings("ignore:overflow")
def test_numbers_beyond_a_picture_are_one_clear_error() -> None:
    found = evidence()
    found["criteria"][2]["interval"] = [-1e308, 1e308]
    with pytest.raises(FigureError):
        svg(gate_figure(found))


def test_training_is_drawn_as_its_history_has_it() -> None:
    history = evidence()["codec"]["history"]
    loss, gap = (
        next(iter(lines(training_figure(evidence()), start).values()))[0]
        for start in ("training loss", "gap")
    )
    assert [*zip(xs(loss), loss.get_ydata(), strict=True)] == [
        (one["step"], one["loss"]) for one in history
    ]
    assert [*zip(xs(gap), gap.get_ydata(), strict=True)] == [
        (one["step"], one["gap"]) for one in history if one["gap"] is not None
    ]


@pytest.mark.parametrize("codec", [None, {"history": []}])
def test_without_a_history_there_is_no_curve(codec: Any) -> None:
    with pytest.raises(FigureError, match="no training history"):
        training_figure(evidence(codec=codec))


def test_similarity_is_drawn_as_the_evidence_has_it() -> None:
    figure = similarity_figure(evidence())
    left, right = (axes.collections[0].get_array() for axes in figure.axes[:2])
    assert left is not None
    assert right is not None
    assert left.tolist() == evidence()["similarity"]["right"]
    assert right.tolist() == evidence()["similarity"]["donor"]
    written = " ".join(texts(figure))
    assert "cosine between prefixes" in written
    assert "mean 0.25" in written
    assert "1.50 times" in written
    with pytest.raises(FigureError, match="compares no prefixes"):
        similarity_figure(evidence(similarity=None))


def test_capability_holds_every_k_against_the_bits_it_could_hold() -> None:
    found = [evidence(rates={**RATES, "normal": 100 + k}, k=k) for k in (8, 2)]
    figure = capability_figure(found)
    points = [
        [*xs(line), *line.get_ydata()] for line in lines(figure, "normal")["normal, gate FAIL"]
    ]
    assert points == [[2, 102 / N], [8, 108 / N]]
    assert xs(lines(figure, "p0")["p0"][0]) == [2, 8]
    bits = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert bits == [f"{2 * 128 * 32:,}", f"{8 * 128 * 32:,}"]
    assert "upper bound" in figure.axes[1].get_xlabel()


def test_capability_leaves_out_what_must_not_be_read() -> None:
    found = [evidence(k=2), evidence(k=4), {**invalid(), "k": 8}]
    figure = capability_figure(found)
    assert all(8 not in xs(line) for line in figure.axes[0].lines)
    assert "INVALID, not drawn: k = 8" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"gate": "other"}, "different gate"),
        ({"score": "greedy"}, "different score"),
        ({"task": {"name": "trip", "seed": 6}}, "different task"),
        ({"receiver": {"name": "mine", "dtype": "float32"}}, "different receivers"),
        ({"k": 4}, "two k or more"),
        ({"verdict": "INVALID"}, "two k or more"),
    ],
)
def test_capability_refuses_what_does_not_belong_together(
    change: dict[str, Any], says: str
) -> None:
    with pytest.raises(FigureError, match=says):
        capability_figure([evidence(k=4), evidence(**{"k": 8, **change})])


def test_scales_are_drawn_as_measured() -> None:
    figure = scales_figure(SWEEP)
    above, below = ({str(line.get_label()): line for line in axes.lines} for axes in figure.axes)
    assert xs(above["normal"]) == [0.0, 1.0]
    assert [*above["normal"].get_ydata()] == [0.25, 0.9]
    assert [*below["shuffle"].get_ydata()] == [4.0, 4.0]
    assert "not a verdict" in figure.axes[0].get_title(loc="left")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(FigureError, match="bmp"):
        render(Figure(), "bmp")


def test_names_once_documented_are_where_they_were() -> None:
    code = (
        "import sys; from lpca.stats import Verdict; "
        "assert not {'numpy', 'scipy', 'torch'} & set(sys.modules); "
        "from lpca.report.figures import gate_figure, svg; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pictures_are_loaded_only_to_be_drawn() -> None:
    code = (
        "import sys, lpca.commands.cli, lpca.pytest_plugin; assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
