"""Logs of lm-evaluation-harness and of inspect_ai, in the shape in which those write them."""

import json
import zipfile

import pytest

from lpca.commands.cli import main
from lpca.judge import formats, logs
from lpca.judge.outcomes import OutcomeError, OutcomeTable
from lpca.judge.reader import read_conditions, read_outcomes
from lpca.judge.rows import Reading


def lm_line(doc_id, metrics, by="none", target="A", **changes):
    return {
        "doc_id": doc_id,
        "doc": {"question": "?", "title": f"page {doc_id // 2}"},
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": "?"}},
        "resps": [["A"]],
        "filtered_resps": ["A"],
        "filter": by,
        "metrics": list(metrics),
        "doc_hash": "d",
        **metrics,
        **changes,
    }


def lines(*records):
    return "\n".join(map(json.dumps, records)) + "\n"


def sample(name, value, epoch=1, target="A", **changes):
    return {
        "id": name,
        "epoch": epoch,
        "input": "?",
        "target": target,
        "metadata": {"document": f"page {name}"},
        "scores": {"match": {"value": value, "answer": "A"}},
        **changes,
    }


def inspect_log(*samples, status="success"):
    return {"version": 2, "status": status, "eval": {"task": "t"}, "samples": list(samples)}


def zipped(path, *samples, status="success", summaries=True, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("_journal/start.json", "{}")
        for one in samples:
            name = f"samples/{one['id']}_epoch_{one['epoch']}.json"
            archive.writestr(name, json.dumps({**one, "messages": ["long"]}))
        if summaries:
            archive.writestr("summaries.json", json.dumps(samples))
            archive.writestr("header.json", json.dumps({"version": 2, "status": status}))
    return str(path)


@pytest.fixture
def read(tmp_path):
    """Reads a file of text for each condition; what was said of them comes beside."""

    def read(how=None, suffix=".jsonl", **contents):
        told, files = [], {}
        for name, content in contents.items():
            path = tmp_path / f"{name}{suffix}"
            path.write_text(content, encoding="utf-8")
            files[name] = str(path)
        return read_conditions(files, Reading(tell=told.append, **(how or {}))), told

    return read


def complaint(call, *arguments, **changes):
    with pytest.raises(OutcomeError) as caught:
        call(*arguments, **changes)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).isprintable()
    return str(caught.value)


class TestLmEval:
    def test_documents_are_aligned_by_their_ids(self, read):
        table, told = read(
            p0=lines(lm_line(0, {"acc": 0.0}), lm_line(1, {"acc": 1.0})),
            normal=lines(lm_line(1, {"acc": 1.0}), lm_line(0, {"acc": 1.0})),
        )
        assert table == OutcomeTable((0, 1), {"p0": (False, True), "normal": (True, True)})
        assert told == []

    @pytest.mark.parametrize("metric", ["acc_norm", "acc_norm,none"])
    def test_one_of_several_metrics_is_asked_for(self, read, metric):
        one = lines(lm_line(0, {"acc": 0.0, "acc_norm": 1.0}))
        assert "several metrics: acc, acc_norm; choose by --metric" in complaint(read, p0=one)
        table, told = read({"metric": metric}, p0=one)
        assert table.outcomes["p0"] == (True,)
        assert told[0].endswith("columns left alone: acc")
        assert "--metric f1: allowed: acc, acc_norm" in complaint(read, {"metric": "f1"}, p0=one)

    def test_one_of_several_filters_is_asked_for(self, read):
        both = lines(
            *(
                lm_line(doc, {"exact_match": float(by == "flexible-extract")}, by)
                for by in ("strict-match", "flexible-extract")
                for doc in (0, 1)
            )
        )
        says = "exact_match,strict-match, exact_match,flexible-extract; choose by --metric"
        assert says in complaint(read, p0=both)
        assert "allowed: exact_match,strict" in complaint(read, {"metric": "exact_match"}, p0=both)
        table, _ = read({"metric": "exact_match,flexible-extract"}, p0=both)
        assert table == OutcomeTable((0, 1), {"p0": (True, True)})

    def test_an_older_log_lists_no_metrics(self, read):
        older = lm_line(0, {"acc": 1.0, "pair": [0.5, 2]})
        del older["metrics"], older["filter"]
        assert read(p0=lines(older))[0].outcomes["p0"] == (True,)

    def test_what_its_documents_share_may_be_their_group(self, read):
        held = lines(*(lm_line(doc, {"acc": 1.0}) for doc in range(3)))
        table, _ = read({"names": {"group": "doc.title"}}, p0=held)
        assert table.groups == ("page 0", "page 0", "page 1")
        says = complaint(read, {"names": {"group": "doc.page"}}, p0=held)
        assert "no column 'doc.page' for group" in says

    @pytest.mark.parametrize(
        ("p0", "normal", "says"),
        [
            (
                [lm_line(0, {"acc": 1.0})],
                [lm_line(0, {"acc": 1.0}, target="B")],
                'the target of episode 0 is "B", under p0 "A"; allowed: logs of the same',
            ),
            ([lm_line(0, {"acc": 1.0})], [lm_line(1, {"acc": 1.0})], "p0 has no outcome for episo"),
            ([lm_line(0, {"acc": 1.0})] * 2, [], "line 2: document 0 stands twice, also in line 1"),
            ([lm_line(0, {"acc": 1.0}), {"x": 1}], [], "line 2 lacks doc_id, target or filtered"),
            ([lm_line(0, {"acc": 0.5})], [], "acc is not binary in line 1 (0.5)"),
            ([lm_line(0, {"acc": 0.5})], [], "score: graded"),
            ([lm_line(0, {}), lm_line(1, {})], [], "this log has no metric"),
            ([lm_line(0, {"acc": 1.0}), lm_line(1, {})], [], "no outcome under acc in line 2"),
        ],
    )
    def test_what_is_wrong_is_named(self, read, p0, normal, says):
        held = {"p0": lines(*p0), **({"normal": lines(*normal)} if normal else {})}
        assert says in complaint(read, **held)

    def test_a_log_alone_is_of_one_condition(self, tmp_path):
        path = tmp_path / "samples_x.jsonl"
        path.write_text(lines(lm_line(0, {"acc": 1.0, "f1": 0.0})), encoding="utf-8")
        says = complaint(read_outcomes, str(path))
        assert "this log of lm-evaluation-harness is of one condition" in says
        assert "--as normal=FILE" in says
        table = read_outcomes(str(path), Reading({"normal": "acc", "p0": "f1"}))
        assert table == OutcomeTable((0,), {"p0": (False,), "normal": (True,)})


class TestInspect:
    @pytest.mark.parametrize("summaries", [True, False])
    def test_samples_are_read_from_a_zip_and_from_json(self, tmp_path, summaries):
        samples = [sample("b", "C"), sample("a", "I"), sample("c", "N")]
        packed = zipped(tmp_path / "p0.eval", *samples, summaries=summaries)
        plain = tmp_path / "normal.json"
        plain.write_text(json.dumps(inspect_log(*reversed(samples))), encoding="utf-8")
        told = []
        table = read_conditions({"p0": packed, "normal": str(plain)}, Reading(tell=told.append))
        assert table == OutcomeTable(
            ("b", "a", "c"), {"p0": (True, False, False), "normal": (True, False, False)}
        )
        unfinished = [f"{packed}: the run of inspect_ai did not succeed: its status is unfinished"]
        assert [text for text in told if "status" in text] == ([] if summaries else unfinished[:1])

    def test_epochs_are_repeats(self, tmp_path):
        samples = [
            sample(name, value, epoch) for name in (1, 2) for epoch, value in ((1, 0), (2, 1))
        ]
        table = read_conditions({"p0": zipped(tmp_path / "x.eval", *samples)})
        assert (table.seeds, table.repeats) == ((1, 1, 2, 2), ("1", "2", "1", "2"))
        assert (table.units, table.outcomes["p0"]) == (2, (False, True, False, True))

    def test_partly_correct_is_a_mark(self, read):
        held = json.dumps(inspect_log(sample(1, "P"), sample(2, 0.25), sample(3, True)))
        assert "score: graded" in complaint(read, suffix=".json", p0=held)
        table, _ = read({"graded": True}, suffix=".json", p0=held)
        assert table.outcomes["p0"] == (0.5, 0.25, 1.0)

    def test_one_of_several_scorers_is_asked_for(self, read):
        scores = {"match": {"value": "C"}, "judge": {"value": {"tone": 1, "fact": 0}}}
        held = json.dumps(inspect_log(sample(1, "C", scores=scores)))
        says = complaint(read, suffix=".json", p0=held)
        assert "several metrics: match, judge.tone, judge.fact; choose by --metric" in says
        table, _ = read({"metric": "judge.fact"}, suffix=".json", p0=held)
        assert table.outcomes["p0"] == (False,)

    def test_a_group_is_taken_from_the_metadata(self, tmp_path):
        path = zipped(tmp_path / "x.eval", sample(1, "C"))
        table = read_conditions({"p0": path}, Reading({"group": "metadata.document"}))
        assert table.groups == ("page 1",)

    def test_a_run_that_did_not_end_well_is_said(self, read):
        held = json.dumps(inspect_log(sample(1, "C"), status="cancelled"))
        assert "its status is cancelled" in read(suffix=".json", p0=held)[1][0]

    @pytest.mark.parametrize(
        ("held", "says"),
        [
            (
                inspect_log(sample(1, "C"), sample(2, "C", scores=None)),
                "under match in sample 2 (id",
            ),
            ({"version": 2, "status": "started", "eval": {}}, "holds no samples"),
            (inspect_log("x"), "sample 1 is no sample; allowed: an object with id and scores"),
            (inspect_log(sample(1, [1, 2])), "match is not binary in sample 1 (id 1, epoch 1)"),
        ],
    )
    def test_what_is_wrong_is_named(self, read, held, says):
        assert says in complaint(read, suffix=".json", p0=json.dumps(held))


class TestHostile:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        """Bounds that a test reaches in no time."""
        monkeypatch.setattr(logs, "LARGEST_PART", 1000)
        monkeypatch.setattr(logs, "LARGEST_WHOLE", 3000)
        monkeypatch.setattr(logs, "MOST_FILES", 20)
        monkeypatch.setattr(formats, "LARGEST_PART", 1000)
        monkeypatch.setattr(formats, "LARGEST_WHOLE", 3000)
        monkeypatch.setattr(formats, "LARGEST", 10_000)

    def test_a_file_in_a_zip_is_unpacked_to_its_bound_alone(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "x.eval", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("samples/1_epoch_1.json", " " * 10**8)
        says = complaint(read_conditions, {"p0": str(tmp_path / "x.eval")})
        assert "samples/1_epoch_1.json has more than 1000 bytes" in says

    def test_a_zip_of_very_many_files_is_not_opened(self, tmp_path):
        path = zipped(tmp_path / "x.eval", *(sample(name, "C") for name in range(20)))
        assert "files; allowed: at most 20" in complaint(read_conditions, {"p0": path})

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [
            ("o.jsonl", '{"seed": 1, "p0": 1}\n' + " " * 2000, "line 2 has more than 1000 bytes"),
            ("o.json", "[" + " " * 4000 + "]", "more than 3000 bytes; that many of .json"),
            ("o.csv", "seed,p0\n" + "\n" * 4000, "more than 3000 bytes; that many of .csv"),
            ("o.jsonl", '{"seed": 1}\n' * 1000, "more than 10000 bytes; that many of .jsonl"),
        ],
    )
    def test_a_huge_line_or_file_is_refused(self, tmp_path, name, content, says):
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert says in complaint(read_outcomes, str(tmp_path / name))

    def test_a_spoilt_zip_is_one_line(self, tmp_path, capsys):
        path = tmp_path / "x.eval"
        zipped(path, sample(1, "C"))
        whole = path.read_bytes()
        spec = tmp_path / "gate_specs.yaml"
        spec.write_text(
            "version: 1\ntask: {name: trip, seed: 1}\nevaluation: {n: 4}\ngates:\n  g:\n"
            "    conditions: [p0]\n    criteria:\n      - {id: c, claim: p0 > 0.1}\n",
            encoding="utf-8",
        )
        for at in range(0, len(whole), 23):
            for held in (whole[:at], whole[:at] + b"\xff\xfe\x00" + whole[at + 3 :]):
                path.write_bytes(held)
                code = main(["judge", "--as", f"p0={path}", "--spec", str(spec)])
                error = capsys.readouterr().err
                assert (code, error.count("\n")) in ((4, 1), (8, 0))

    @pytest.mark.parametrize(
        ("files", "says"),
        [
            ({"other.txt": "x"}, "no log of inspect_ai"),
            (
                {"header.json": "{}", "summaries.json": "[]", "samples/1_epoch_1.json": "{}"},
                "has 0",
            ),
            ({"header.json": "{", "samples/1_epoch_1.json": "{}"}, "is no JSON"),
            ({"samples/1_epoch_1.json": b"\xff"}, "samples/1_epoch_1.json: byte 0 is not UTF-8"),
            ({"samples/\x1b[2J.json": "[]"}, "samples/\\x1b[2J.json is no sample"),
        ],
    )
    def test_a_zip_of_something_else_is_refused(self, tmp_path, files, says):
        with zipfile.ZipFile(tmp_path / "x.eval", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        assert says in complaint(read_conditions, {"p0": str(tmp_path / "x.eval")})
