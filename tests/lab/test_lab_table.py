"""The table: rows over their seeds, what is shared, and its three forms."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import pytest
from lab_evidence import N, evidence
from matplotlib.backends.backend_agg import FigureCanvasAgg
from whole_evidence import typed

from lpca.lab.summary import not_measured, summary_of
from lpca.lab.table import CodecEntry, Table, as_csv, markdown, text
from lpca.report.figures.lab import lab_figure
from lpca.report.figures.style import svg

ABOUT = {
    "name": "objectives",
    "gate": "lab",
    "spec": "gate_specs.yaml",
    "n": N,
    "answers": "seen",
    "score": "likelihood",
    "confidence": 0.95,
    "announced": 9,
    "receiver": {"name": "stub", "device": "cpu", "dtype": "float32"},
    "recipes": {},
}
MAGIC = {"normal": 15, "shuffle": 15}


def entry(row, seed, k=4, held=None, summary=None):
    summary = summary_of(typed(held)) if held else summary
    return CodecEntry(row, k, seed, f"evidence/{row}{seed}.json", summary)


def failing(verdict="FAIL", **changes):
    return evidence(verdict=verdict, criteria=[{"id": "helps", "verdict": verdict}], **changes)


def made():
    return Table(
        ABOUT,
        [
            entry("answer", 0, held=evidence()),
            entry("answer", 1, held=evidence(rates={"normal": 57})),
            entry("answer", 2, held=failing(rates={"normal": 48})),
            entry("m|se*", 0, held=failing(rates=MAGIC)),
            entry("m|se*", 1, summary=not_measured("CodecError: too wide")),
            entry("m|se*", 2),
        ],
    )


class TestRows:
    def test_mean_and_range_over_seeds(self):
        row = made().rows()[0]
        assert (row.row, row.k, row.seeds) == ("answer", 4, 3)
        assert row.verdicts == {"PASS": 2, "FAIL": 1}
        assert row.signatures == {"transmits": 2, "partly transmits": 1}
        normal = row.numbers["normal"]
        assert normal.mean == pytest.approx((54 + 57 + 48) / 3 / N, abs=1e-12)
        assert (normal.low, normal.high) == (48 / N, 57 / N)

    def test_only_what_can_be_read_is_averaged(self):
        row = made().rows()[1]
        assert row.verdicts == {"FAIL": 1, "NOT MEASURED": 1}
        assert row.numbers["normal"].mean == 15 / N
        assert row.signatures == {"magic prompt": 1}

    def test_a_number_that_one_seed_lacks_is_no_mean(self):
        held = evidence()
        held["cache"]["normal"][0]["cached"] = True
        table = Table(ABOUT, [entry("a", 0, held=evidence()), entry("a", 1, held=held)])
        numbers = table.rows()[0].numbers
        assert "evaluation seconds" not in numbers
        assert numbers["training seconds"].mean == 80.0

    def test_each_k_is_a_row_of_its_own(self):
        table = Table(ABOUT, [entry("a", 0, 4, evidence()), entry("a", 0, 8, evidence())])
        assert [(one.row, one.k) for one in table.rows()] == [("a", 4), ("a", 8)]

    def test_what_is_shared_is_what_no_codec_has_a_part_in(self):
        assert list(made().shared(4)) == ["p0", "p1", "null"]
        assert made().shared(8) == {}

    def test_a_control_that_differs_is_not_shared(self):
        table = Table(ABOUT, [entry("a", 0, held=evidence()), entry("b", 0, held=evidence())])
        assert "null" in table.shared(4)
        other = evidence(rates={"null": 14})
        table = Table(ABOUT, [entry("a", 0, held=evidence()), entry("b", 0, held=other)])
        assert "null" not in table.shared(4)


class TestMarkdown:
    def test_rows_and_their_codecs(self):
        shown = markdown(made())
        [row] = [
            line for line in shown.splitlines() if line.startswith("| answer | 2 PASS, 1 FAIL")
        ]
        assert "88.3 % (80.0 … 95.0)" in row
        assert "2 transmits" in row
        assert "`p0` 15/60 = 25.0 % [15.8, 37.2]" in shown
        assert "**1 of 6 codecs are still to be measured.**" in shown
        assert "CodecError: too wide" in shown
        assert "one of 9" in shown

    def test_every_row_has_as_many_cells_as_its_head(self):
        counts = []
        for line in markdown(made()).splitlines():
            if line.startswith("| "):
                counts.append(line.replace("\\|", "").count("|"))
        assert len(set(counts)) == 2, "two tables"

    def test_a_complete_table_says_so(self):
        table = Table(ABOUT, [entry("a", 0, held=evidence())])
        assert "All 1 codecs of the grid are here." in markdown(table)


def test_csv_has_a_line_per_codec_with_every_interval():
    rows = list(csv.DictReader(io.StringIO(as_csv(made()))))
    assert [(row["row"], row["seed"]) for row in rows][:2] == [("answer", "0"), ("answer", "1")]
    first = rows[0]
    assert (first["normal_successes"], first["normal_n"]) == ("54", "60")
    assert float(first["normal_low"]) < 0.9 < float(first["normal_high"])
    gap = float(first["nll_shuffle_minus_normal"])
    assert float(first["nll_shuffle_minus_normal_low"]) < gap
    assert rows[4]["reasons"] == "CodecError: too wide"
    assert rows[5]["verdict"] == ""


def test_json_has_per_seed_intervals_and_no_pooled_one():
    data = json.loads(json.dumps(made().to_dict(), allow_nan=False))
    assert data["complete"] is False
    assert data["codecs"][0]["conditions"]["normal"]["low"] < 0.9
    assert data["codecs"][3]["signature"] == "magic prompt"
    assert set(data["rows"][0]["numbers"]["normal"]) == {"mean", "low", "high"}
    assert data["codecs"][5]["verdict"] is None


def test_the_terminals_table_names_what_was_not_measured():
    lines = list(text(made()))
    assert any(line.startswith("answer") and "2 PASS, 1 FAIL" in line for line in lines)
    assert "m|se*, k=4, seed 1: NOT MEASURED: CodecError: too wide" in lines


class TestPicture:
    def test_an_interval_and_an_estimate_per_codec(self):
        [_, axes, _] = lab_figure(made().to_dict()).axes
        lines = {str(line.get_label()): line for line in axes.lines}
        codec = made().to_dict()["codecs"][0]["effects"]["normal - shuffle"]
        assert list(lines["interval answer k=4 seed 0"].get_xdata()) == [
            codec["low"],
            codec["high"],
        ]
        assert list(lines["estimate answer k=4 seed 0"].get_xdata()) == [codec["mean"]]
        words = [one.get_text() for one in axes.texts]
        beside = {one.get_text(): one.get_position() for one in axes.texts}
        waiting, judged = beside["2: to be measured"], beside["1: NOT MEASURED"]
        assert waiting[0] == judged[0] > 1.0
        assert waiting[1] > judged[1]
        assert "1: NOT MEASURED" in words
        assert "2: to be measured" in words

    def test_a_row_that_is_not_measured_is_named_and_not_drawn(self):
        data = made().to_dict()
        data["codecs"] += [{**data["codecs"][5], "row": "later"}]
        [_, axes, key] = lab_figure(data).axes
        assert "later" not in [one.get_text() for one in axes.texts]
        assert "Not measured, not drawn: later" in [one.get_text() for one in key.texts]

    def test_the_axis_fits_what_is_drawn(self):
        data = made().to_dict()
        found = (one.get("effects", {}).get("normal - shuffle") for one in data["codecs"])
        known = [one for one in found if one is not None]
        low, high = lab_figure(data).axes[1].get_xlim()
        lowest = min(0.0, *(one["low"] for one in known))
        highest = max(0.0, *(one["high"] for one in known))
        assert low < lowest < highest < high
        assert high - low < 1.2 * (highest - lowest) + 0.02

    def test_no_text_runs_off_the_page(self):
        longest = Table(ABOUT, [entry("a" * 60, 123, held=failing(verdict="INCONCLUSIVE"))])
        figure = lab_figure(longest.to_dict())
        FigureCanvasAgg(figure).draw()
        page = figure.bbox
        for axes in figure.axes:
            for one in axes.texts:
                box = one.get_window_extent()
                assert page.x0 <= box.x0, one.get_text()
                assert box.x1 <= page.x1, one.get_text()

    def test_the_same_table_gives_the_same_bytes_in_any_process(self, tmp_path):
        data = made().to_dict()
        (tmp_path / "table.json").write_text(json.dumps(data))
        code = (
            "import json, sys; from lpca.report.figures.lab import lab_figure; "
            "from lpca.report.figures.style import svg; "
            "sys.stdout.buffer.write(svg(lab_figure(json.load(open('table.json')))))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True
        )
        assert done.stdout == svg(lab_figure(data))
