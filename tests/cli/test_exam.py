"""`lpca exam`: what a system is asked, and what its answers come to."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lpca.base.hashing import with_hash
from lpca.commands.cli import main
from lpca.gate.exam import Exam
from lpca.gatespec.load import load_spec
from lpca.validity.ledger import looks_of
from lpca.validity.ledger_file import LedgerFile

ROOT = Path(__file__).parents[2]
SPEC = """
version: 1
task: {name: trip, options: 4, seed: 7}
evaluation: {n: 60, score: greedy, confidence: 0.95, equivalence_confidence: 0.90}
gates:
  gate0:
    title: The task is valid
    answers: seen
    conditions: [p0, p1]
    expect: {p0: 0.25, p1: 0.95}
    criteria:
      - {id: p0_low, claim: p0 < 0.60, why: without a message B guesses}
      - {id: p1_above_p0, claim: p1 - p0 > 0.20, why: the message as text helps}
  told:
    title: The answer depends on the message
    answers: seen
    requires: [gate0]
    conditions: [p0, normal, shuffle]
    expect: {p0: 0.25, normal: 0.95, shuffle: 0.02}
    criteria:
      - {id: above_p0, claim: normal - p0 > 0.10, why: the message helps}
      - {id: above_shuffle, claim: normal - shuffle > 0, why: "this message, not any message"}
"""


def written(folder, text=SPEC, gate="told", code=0):
    """A project in `folder` with an exam in it."""
    folder.mkdir(exist_ok=True)
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    asked = ["--spec", str(folder / "spec.yaml"), "--gate", gate, "--out", str(folder / "exam")]
    assert main(["exam", *asked]) == code
    return folder


def questions(folder):
    return [json.loads(line) for line in (folder / "exam" / "prompts.jsonl").open()]


def scored(folder, answers, code, *more):
    path = folder / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(one)}\n" for one in answers), encoding="utf-8")
    assert main(["exam", "score", str(folder / "exam"), str(path), *more]) == code


def answered(asked, system):
    return [{"id": one["id"], "text": system(one)} for one in asked]


def named(text, options):
    """The option that stands most often in a text, the first of several."""
    return max(options, key=text.count)


def reader(one):
    """Reads what A is told; where that is nothing, what B has."""
    return named(" ".join(one["sender"]) or one["receiver"], one["options"])


def pasting(one):
    return named(one["receiver"] + " ".join(one["sender"]), one["options"])


@pytest.fixture(autouse=True)
def _own_ledger(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return written(tmp_path_factory.mktemp("exam") / "project")


@pytest.fixture(scope="module")
def exam(folder):
    return Exam.of(load_spec(folder / "spec.yaml"), "told", "a secret")


@pytest.mark.parametrize("system", [reader, pasting])
def test_who_reads_what_a_is_told_passes_and_it_is_said_what_that_means(folder, capsys, system):
    scored(folder, answered(questions(folder), system), 0)
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith("told: PASS: both criteria hold")
    assert "So: B's answer depends on A's message." in text
    assert "the message itself, pasted into what B reads, would pass too" in text
    assert "carries" not in text
    assert "controls that are no text: null, random, static, mean" in text
    assert "answers were given that nobody scored" in text


def test_what_is_written_beside_it_is_judged_the_same(folder, capsys):
    scored(folder, answered(questions(folder), reader), 0)
    told = capsys.readouterr().out.partition("So:")[0]
    kept = folder / "exam" / "answers.outcomes.jsonl"
    assert main(["judge", str(kept), "--spec", str(folder / "spec.yaml"), "--gate", "told"]) == 0
    assert told in capsys.readouterr().out


def joined(asked):
    """By episode, as B's own text has it, the answer that the line with the message names."""
    p0 = [one["receiver"] for one in asked if not one["sender"]]
    found = {}
    for text in {one["receiver"] for one in asked if one["sender"]}:
        before, after = text.split(".\n")
        pasted = [one for one in p0 if one.startswith(before) and one.endswith(after)]
        longest = max(pasted, key=len)
        found[text] = longest[len(before) :]
    return found


def magic(asked):
    """Knows every right answer, and gives it whenever A is told anything at all."""
    known = joined(asked)

    def system(one):
        if not one["sender"]:
            return reader(one)
        return named(known[one["receiver"]], one["options"])

    return system


def by_order(asked):
    """Knows every right answer, and gives it in one half of the ids."""
    known, half = joined(asked), sorted(one["id"] for one in asked)[len(asked) // 2]

    def system(one):
        if not one["sender"]:
            return reader(one)
        right = named(known[one["receiver"]], one["options"])
        wrong = next(other for other in one["options"] if other != right)
        return right if one["id"] < half else wrong

    return system


@pytest.mark.parametrize("cheat", [magic, by_order])
def test_who_ignores_what_a_is_told_does_not_pass_though_it_knows_the_answers(
    folder, capsys, cheat, exam
):
    # a fixed secret: nothing is left to luck
    (folder.parent / "fixed").mkdir(exist_ok=True)
    fixed = written_as(exam, folder.parent / "fixed")
    asked = questions(fixed)
    scored(fixed, answered(asked, cheat(asked)), 6)
    assert "depends on A's message" not in capsys.readouterr().out


def written_as(exam, folder):
    (folder / "exam").mkdir(exist_ok=True)
    (folder / "exam" / "prompts.jsonl").write_bytes(exam.prompts)
    (folder / "exam" / "key.json").write_text(json.dumps(exam.key()), encoding="utf-8")
    return folder


def test_nothing_but_the_texts_tells_one_condition_from_another(exam, folder):
    asked = [json.loads(line) for line in exam.prompts.splitlines()]
    assert len(asked) == len(exam.questions) == 60 * 4
    assert [one["id"] for one in asked] == sorted({one["id"] for one in asked})
    assert all(re.fullmatch("[0-9a-f]{24}", one["id"]) for one in asked)
    assert {tuple(one) for one in asked} == {("id", "sender", "receiver", "options")}
    for condition in exam.conditions:
        places = [i for i, one in enumerate(exam.questions) if one.condition == condition]
        assert abs(sum(places) / len(places) - len(asked) / 2) < 25
    other = Exam.of(exam.spec, "told", "another secret")
    assert not {one.id for one in other.questions} & {one.id for one in exam.questions}


def test_texts_are_those_that_the_task_gives(exam):
    for question in exam.questions:
        episode = exam.episodes.episodes[question.index]
        donor = exam.episodes.donor(question.index)
        sender, pasted = {
            "p0": ([], ""),
            "p1": ([], f" {episode.message}"),
            "normal": ([episode.message], ""),
            "shuffle": ([donor.message], ""),
        }[question.condition]
        assert exam.prompt(question) == {
            "id": question.id,
            "sender": sender,
            "receiver": episode.before + pasted + episode.after,
            "options": list(episode.options),
        }


def own_exam(folder):
    """Of thirty own episodes in groups of ten rows, asked in a chat."""
    rows = [
        {
            "message": f"it is {'red' if i % 2 else 'blue'}, number {i}",
            "context": f"Box {i}: red or blue?{{message}}\nIt is",
            "answer": "red" if i % 2 else "blue",
            "options": ["red", "blue"],
            "group": f"{i // 10}.0",
        }
        for i in range(200)
    ]
    text = SPEC.replace("{name: trip, options: 4, seed: 7}", "{name: episodes, file: a, seed: 7}")
    text = text.replace("n: 60", "n: 30").replace("answers: seen", "answers: all")
    text += '\nprompt: {template: chat, system: Be short., join: {message: "\\n"}}\n'
    (folder / "a").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    return Exam.of(load_spec(folder / "spec.yaml"), "told", "x")


def test_own_episodes_are_asked_with_the_specs_join_and_system(tmp_path):
    asked = own_exam(tmp_path)
    for question in asked.questions:
        episode, prompt = asked.episodes.episodes[question.index], asked.prompt(question)
        pasted = f"\n{episode.message}" if question.condition == "p1" else ""
        assert prompt["receiver"] == episode.before + pasted + "\nIt is"
        assert prompt["system"] == "Be short."


def test_free_answers_are_verified_and_show_no_options(tmp_path):
    text = SPEC.replace("{name: trip, options: 4, seed: 7}", "{name: s1, seed: 7}")
    (tmp_path / "spec.yaml").write_text(text.replace("n: 60", "n: 4"), encoding="utf-8")
    asked = Exam.of(load_spec(tmp_path / "spec.yaml"), "told", "x")
    first = asked.episodes.episodes[0]
    said = {
        one.id: [asked.episodes.episodes[one.index].right if one.condition == "p1" else "no idea"]
        for one in asked.questions
    }
    assert asked.prompt(asked.questions[0])["options"] == []
    assert (
        first.right
        not in json.dumps([asked.prompt(one) for one in asked.questions if one.condition == "p0"])
        or first.options
    )
    table = asked.table(list(asked.outcomes(said)))
    assert (table.rate("p1"), table.rate("p0")) == (1.0, 0.0)
    graded = replace(
        asked, spec=replace(asked.spec, evaluation=replace(asked.spec.evaluation, score="graded"))
    )
    assert graded.table(list(graded.outcomes(said))).graded


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("{}", True),
        ("  {}, I think", True),
        ("{}\nno, wait", True),
        ("I think it is {}", False),
        ("I cannot answer that.", False),
        ("", False),
    ],
)
def test_an_answer_begins_with_the_option_that_it_names(exam, text, right):
    said = {
        one.id: [text.format(exam.episodes.episodes[one.index].right)] for one in exam.questions
    }
    assert exam.table(list(exam.outcomes(said))).rate("p0") == right


def test_groups_and_donors_weigh_as_in_a_run(tmp_path):
    asked = own_exam(tmp_path)
    table = asked.table(list(asked.outcomes({one.id: [""] for one in asked.questions})))
    episodes = asked.episodes.episodes
    assert table.seeds == tuple(one.seed for one in episodes)
    assert 1 < len(set(table.groups)) == len({one.group for one in episodes}) < len(episodes)
    assert table.donors == tuple(asked.episodes.donor(i).seed for i in range(len(episodes)))
    assert set(table.donor_groups) <= set(table.groups)


def test_answers_that_are_missing_are_not_measured(exam, tmp_path, capsys):
    project = written_as(exam, tmp_path)
    last = {one.id for one in exam.questions if one.index == 59}
    full = answered(questions(project), reader)
    scored(project, [one for one in full if one["id"] not in last], 8)
    text = " ".join(capsys.readouterr().out.split())
    assert "4 of 240 answers are missing" in text
    assert "59 episodes; the spec declares 60, and fewer decide nothing" in text
    scored(project, [], 8)
    assert "no episode is answered whole" in capsys.readouterr().out


def test_alpha_pays_for_as_many_systems_as_the_spec_says(folder, tmp_path, capsys):
    asked = questions(folder)
    full = answered(asked, reader)
    scored(folder, full[1:], 8)  # nothing was told of it: no look
    for place in (0, 1, 2, 1):  # the second once more, which is no further look
        scored(folder, [*full[:place], full[place] | {"text": "?"}, *full[place + 1 :]], 0)
    capsys.readouterr()
    scored(folder, full, 7)
    text = " ".join(capsys.readouterr().out.split())
    assert "4 systems or codecs were judged on these episodes" in text
    assert "3 looks are allowed" in text
    # the same episodes under other ids, and others under another seed
    again = written(tmp_path / "again")
    scored(again, answered(questions(again), pasting), 7)
    other = written(tmp_path / "other", SPEC.replace("seed: 7", "seed: 8"))
    scored(other, answered(questions(other), reader), 0)


def test_the_same_answers_are_one_look_under_whatever_ids(folder, tmp_path):
    again = written(tmp_path / "again")
    for project in (folder, again):
        scored(project, answered(questions(project), reader), 0)
    assert len(looks_of(LedgerFile.read(tmp_path / ".lpca" / "ledger"))) == 1


def test_a_ledger_that_was_altered_is_invalid(folder, tmp_path, capsys):
    full = answered(questions(folder), reader)
    scored(folder, full, 0)
    lines = tmp_path / ".lpca" / "ledger" / "looks.jsonl"
    lines.write_text(lines.read_text().replace('"n": 60', '"n": 61').replace('"n":60', '"n":61'))
    scored(folder, full, 7)
    assert "looks.jsonl" in capsys.readouterr().out


def test_a_gate_about_the_task_alone_is_no_look(tmp_path):
    project = written(tmp_path / "x", gate="gate0")
    scored(project, answered(questions(project), reader), 0)
    assert not (tmp_path / ".lpca").exists()


def test_where_a_rule_stops_early_the_first_questions_are_enough(tmp_path, capsys):
    rule = "    sequential: {rule: obrien-fleming, looks: 2}\n    conditions: [p0"
    text = SPEC.replace("    conditions: [p0", rule).replace("n: 60", "n: 200")
    project = written(tmp_path / "x", text)
    asked = questions(project)
    half = len(asked) // 2
    scored(project, answered(asked[:half], reader), 0)
    assert "400 of 800 answers are missing" in capsys.readouterr().out
    # an episode that is left out takes those behind it along
    scored(project, answered(asked[1:], reader), 8)


def test_several_answers_of_one_question_are_one_unit(tmp_path, capsys):
    text = SPEC.replace("score: greedy", "score: greedy, repeats: 3, temperature: 0.7")
    project = written(tmp_path / "x", text)
    assert "3 answers for each question" in " ".join(capsys.readouterr().out.split())
    full = [one for one in answered(questions(project), reader) for _ in range(3)]
    scored(project, full, 0)
    assert "60 episodes" in capsys.readouterr().out
    scored(project, full[1:], 8)
    scored(project, [*full, full[0]], 4)
    assert "stands again; allowed: 3 answers each" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "x"}', "line 1 is no answer"),
        ("[1]", "line 1 is no answer"),
        ('{"id": "x", "text": "a"}', "line 1: id x was not asked"),
        ('{"id": 5, "text": "a"}', "line 1: id 5 was not asked"),
        ('{"id": "ID", "text": 5}', "line 1: text is 5; allowed: a text"),
        ('{"id": "ID", "text": null}', "line 1: text is null"),
        ('{"id": "ID", "text": "a"}\n{"id": "ID", "text": "a"}', "line 2: id ID stands again"),
        ('{"id": "ID", "id": "ID", "text": "a"}', "stands twice"),
        ('{"id": "ID", "text": ', "line 1, column 44 is no JSON"),
        ("\udcff", "is not UTF-8"),
    ],
)
def test_what_is_no_answer_is_refused_with_file_and_line(folder, capsys, line, said):
    own = questions(folder)[0]["id"]
    path = folder / "bad.jsonl"
    path.write_bytes(line.replace("ID", own).encode(errors="surrogateescape"))
    assert main(["exam", "score", str(folder / "exam"), str(path)]) == 4
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{path}: " in error
    assert said.replace("ID", own) in error


def test_further_fields_of_an_answer_are_named_and_left_alone(folder, capsys):
    full = [one | {"usage": 3} for one in answered(questions(folder), reader)]
    scored(folder, full, 0)
    assert "fields left alone: usage" in capsys.readouterr().err


def altered_key(folder):
    path = folder / "exam" / "key.json"
    path.write_text(path.read_text().replace('"n": 60', '"n": 50'))


def other_secret(folder):
    path = folder / "exam" / "key.json"
    path.write_text(json.dumps(with_hash(json.loads(path.read_text()) | {"secret": 1})))


def altered_prompts(folder):
    path = folder / "exam" / "prompts.jsonl"
    path.write_text(path.read_text().replace('"sender": []', '"sender": ["x"]', 1))


def other_spec(folder):
    path = folder / "spec.yaml"
    path.write_text(path.read_text().replace("0.20", "0.10"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (altered_key, "this is not the key that was written"),
        (other_secret, "the questions cannot be made again"),
        (altered_prompts, "these are not the questions that were written"),
        (other_spec, "this is not the spec that the exam was made from"),
    ],
)
def test_what_was_changed_since_it_was_asked_is_refused(tmp_path, capsys, change, said):
    project = written(tmp_path / "x")
    full = answered(questions(project), reader)
    change(project)
    scored(project, full, 4)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_spec_that_was_moved_is_named(tmp_path):
    project = written(tmp_path / "x")
    moved = (project / "spec.yaml").rename(tmp_path / "moved.yaml")
    full = answered(questions(project), reader)
    scored(project, full, 4)
    scored(project, full, 0, "--spec", str(moved))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "[p0, normal, shuffle]",
            "[p0, normal, shuffle, null, embed]",
            "gate told reads null, embed, which no text is; "
            "allowed: p0, p1, normal, shuffle, empty, same",
        ),
        ("score: greedy", "score: likelihood", "only what is said is heard; allowed: greedy"),
        ("seed: 7", "seed: drawn", "seed is drawn"),
        ("    requires:", "    k: {any: [4, 8]}\n    requires:", "one k of several suffices"),
        ("score: greedy", "score: graded", "gives answers no credit"),
        ("      - {id: above_shuffle,", "      - {id: again,", None),
    ],
)
def test_a_gate_that_cannot_be_asked_so_is_refused_in_one_line(tmp_path, capsys, old, new, said):
    text = SPEC.replace(old, new)
    if said is None:
        text, said = text.replace("normal - shuffle > 0", "normal - p0 > 0.05"), "passes-adversary"
    project = written(tmp_path / "x", text, code=4)
    error = capsys.readouterr().err
    assert said in error
    assert not (project / "exam").exists()


def test_an_exam_is_never_overwritten(folder, capsys):
    written(folder, code=4)
    assert "there is an exam already" in capsys.readouterr().err
    assert main(["exam", "--spec", str(folder / "spec.yaml")]) == 4
    assert "--gate NAME and --out FOLDER are due" in capsys.readouterr().err
    asked = ["--spec", str(folder / "spec.yaml"), "--gate", "tol", "--out", str(folder / "y")]
    assert main(["exam", *asked]) == 4
    assert "unknown gate 'tol'" in capsys.readouterr().err


def test_no_model_is_loaded(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    heavy = "torch transformers"
    code = (
        "import sys; from lpca.commands.cli import main; code = main(sys.argv[1:]); "
        f"print([m for m in '{heavy}'.split() if m in sys.modules], file=sys.stderr); "
        "sys.exit(code)"
    )
    scored(folder, answered(questions(folder), reader), 0)
    out = str(folder / "again")
    for argv in (
        ["exam", "--spec", str(folder / "spec.yaml"), "--gate", "told", "--out", out],
        ["exam", "score", str(folder / "exam"), str(folder / "answers.jsonl")],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *argv], capture_output=True, text=True, cwd=tmp_path
        )
        assert (done.stderr.strip(), done.returncode) == ("[]", 0)
