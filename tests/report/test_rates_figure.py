"""The picture of success against bits, read back from what is drawn."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from drawn_evidence import RATES, N, evidence, invalid, signed
from matplotlib.figure import Figure

from lpca.evidence.files import parse_evidence
from lpca.evidence.model import Evidence
from lpca.report.figures import capability
from lpca.report.figures.capability import MESSAGE_KINDS, of_one_curve
from lpca.report.figures.files import write_pictures
from lpca.report.figures.style import FigureError, svg

TEXTS = {"p2_16": (128.0, 60), "p2_64": (480.0, 120), "p1": (640.0, 150), "p5": (304.0, 160)}
PER_LATENT = 128 * 32


def run(k: int, normal: int, bits: float | None = None, **changes: Any) -> dict[str, Any]:
    """Evidence at one k; `bits` are what a codec with a codebook says."""
    counts = {name: count for name, (_, count) in TEXTS.items()}
    made = evidence({}, {**RATES, **counts, "normal": normal}, k=k, **changes)
    for name, numbers in made["conditions"].items():
        latents = k * PER_LATENT if bits is None or name not in ("normal", "shuffle") else bits
        numbers["bits"] = 0.0 if name == "p0" else TEXTS.get(name, (latents,))[0]
    return made


RUNS = [run(8, 170), run(1, 80), run(2, 110), run(1, 70, 10.0), run(2, 90, 20.0)]


def typed(found: list[dict[str, Any]]) -> list[Evidence]:
    return [parse_evidence(one) for one in found]


def rates_figure(found: list[dict[str, Any]]) -> Figure:
    return capability.rates_figure(typed(found))


def capability_figure(found: list[dict[str, Any]]) -> Figure:
    return capability.capability_figure(typed(found))


def series(figure: Figure, kind: str) -> list[tuple[float, float]]:
    """The points of one kind of message."""
    [line] = [one for one in figure.axes[0].lines if one.get_label() == MESSAGE_KINDS[kind].label]
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]


def test_every_kind_of_message_stands_at_its_bits() -> None:
    figure = rates_figure(RUNS)
    assert series(figure, "cut") == [(128.0, 60 / N), (480.0, 120 / N)]
    assert series(figure, "text") == [(640.0, 150 / N)]
    assert series(figure, "facts") == [(304.0, 160 / N)]
    assert series(figure, "nominal") == [
        (PER_LATENT, 80 / N),
        (2 * PER_LATENT, 110 / N),
        (8 * PER_LATENT, 170 / N),
    ]
    assert series(figure, "coded") == [(10.0, 70 / N), (20.0, 90 / N)]
    assert figure.axes[0].get_xscale() == "log"


def test_every_point_has_its_interval() -> None:
    axes = rates_figure(RUNS).axes[0]
    spans = {
        (float(line.get_xdata()[0]), *map(float, line.get_ydata()))
        for line in axes.lines
        if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]
    }
    for one in RUNS:
        for name in (*TEXTS, "normal", "shuffle"):
            numbers = one["conditions"][name]
            assert (numbers["bits"], *numbers["likelihood"]["interval"]) in spans


def test_latents_are_called_by_their_k_and_text_by_its_bytes() -> None:
    labels = [one.get_text() for one in rates_figure(RUNS).axes[0].texts]
    assert sorted(labels) == sorted(
        ["16 B", "64 B", "k=1", "k=2", "k=8", "k=1 of 1,024", "k=2 of 1,024"]
    )


def test_nothing_sent_is_a_line_and_no_point() -> None:
    figure = rates_figure(RUNS)
    [line] = [one for one in figure.axes[0].lines if "p0" in str(one.get_label())]
    assert {float(y) for y in line.get_ydata()} == {RATES["p0"] / N}


@pytest.mark.parametrize(("declared", "kind"), [(None, "nominal"), (12288.0, "coded")])
def test_measured_packets_are_coded_only_where_bits_are_declared(
    declared: float | None, kind: str
) -> None:
    """A sentence embedding holds other bits than what it decodes to, and is no codebook's."""
    measured = run(1, 80, 12288.0)
    measured["codec"]["bits"] = declared
    measured["packets"] = {
        **{"kind": "vectors", "messages": 9, "distinct": 9, "uncompressed": 0.0},
        **{"positions": [1, 1], "capacity": [12288.0, 12288.0]},
    }
    assert series(rates_figure([measured]), kind) == [(12288.0, 80 / N)]


def test_kinds_differ_without_colour() -> None:
    shapes = [(look.marker, look.filled, str(look.dashes)) for look in MESSAGE_KINDS.values()]
    assert len(set(shapes)) == len(MESSAGE_KINDS)


def test_what_must_not_be_read_is_left_out_and_counted() -> None:
    bad = {**invalid(), "k": 4}
    for numbers in bad["conditions"].values():
        numbers["bits"] = 4 * PER_LATENT
    figure = rates_figure([*RUNS, bad])
    assert 4 * PER_LATENT not in [x for x, _ in series(figure, "nominal")]
    assert "1 INVALID, not drawn" in figure.axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gate": "other"}, "different gate"),
        ({"score": "greedy"}, "different score"),
        ({"task": {"name": "relay", "seed": 6}}, "different task"),
        (
            {"receiver": {"name": "mine", "device": "cpu", "dtype": "float32"}},
            "different receivers",
        ),
    ],
)
def test_what_does_not_belong_together_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(FigureError, match=says):
        rates_figure([RUNS[0], {**RUNS[1], **changes}])


def test_evidence_without_bits_is_refused_in_one_line() -> None:
    with pytest.raises(FigureError, match="two rates or more"):
        rates_figure([evidence()])
    with pytest.raises(FigureError, match="two rates or more"):
        rates_figure([{**RUNS[0], "verdict": "INVALID"}])


def test_two_rates_are_enough_for_a_picture() -> None:
    one = copy.deepcopy(RUNS[0])
    for name, numbers in one["conditions"].items():
        if name not in ("normal", "p1"):
            numbers.pop("bits")
    figure = rates_figure([one])
    assert [len(series(figure, kind)) for kind in ("nominal", "text")] == [1, 1]


def test_the_order_of_files_changes_no_byte() -> None:
    first, again = svg(rates_figure(RUNS)), svg(rates_figure(RUNS[::-1]))
    assert first == again
    assert ElementTree.fromstring(first).tag.endswith("svg")


def test_plot_draws_it_where_text_and_latents_have_bits(tmp_path: Path) -> None:
    files = []
    for index, one in enumerate(RUNS):
        files.append(tmp_path / f"{index}.json")
        files[-1].write_text(json.dumps(one))
    written = {path.name for path in write_pictures(files, tmp_path / "out", "svg")}
    assert "-rates.svg" in {name[len(str(RUNS[0]["gate"])) :] for name in written}
    without = tmp_path / "old.json"
    without.write_text(json.dumps(evidence()))
    assert not [p for p in write_pictures([without], tmp_path / "old", "svg") if "rates" in p.name]


def test_plot_draws_it_only_where_text_is_cut(tmp_path: Path) -> None:
    files = []
    for index, one in enumerate(RUNS[:2]):
        held = {
            name: numbers
            for name, numbers in one["conditions"].items()
            if name == "p1" or name not in TEXTS
        }
        kept = copy.deepcopy({**one, "conditions": held})
        for episode in kept["episodes"]:
            episode["outcomes"] = {name: episode["outcomes"][name] for name in held}
        files.append(tmp_path / f"{index}.json")
        files[-1].write_text(json.dumps(signed(kept)))
    assert not [p for p in write_pictures(files, tmp_path / "out", "svg") if "rates" in p.name]


def test_against_k_a_codebook_does_not_stand_beside_continuous_latents() -> None:
    assert {one.k for one in of_one_curve(typed(RUNS))} == {1, 2, 8}
    assert len(of_one_curve(typed(RUNS))) == 3
    assert of_one_curve(typed(RUNS[3:])) == typed(RUNS[3:])


def test_a_size_that_cuts_nothing_is_said_to() -> None:
    whole = [copy.deepcopy(one) for one in RUNS]
    for one in whole:
        one["conditions"]["p2_256"] = copy.deepcopy(one["conditions"]["p1"])
    labels = [str(line.get_label()) for line in rates_figure(whole).axes[0].lines]
    assert "the whole text (p1); 256 B cut nothing" in labels


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/me/reader", "reader"),
        ("examples/relay/reader/", "reader"),
        ("./m.gguf", "m.gguf"),
        ("smollm2-135m", "smollm2-135m"),
        ("Qwen/Qwen2.5-3B-Instruct", "Qwen/Qwen2.5-3B-Instruct"),
    ],
)
def test_a_receivers_folder_is_not_shown(name: str, shown: str) -> None:
    runs = [{**one, "receiver": {**one["receiver"], "name": name}} for one in RUNS]
    for draw in (rates_figure, capability_figure):
        assert f"receiver {shown}, " in draw(runs).axes[0].get_title(loc="left")
