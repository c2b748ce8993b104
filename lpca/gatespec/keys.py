"""What a spec file may hold: each key's type, range, choices, default and meaning, stated once.

`lpca.gatespec.load` reads a file by these tables; the JSON Schema for editors and the tables of the
documentation (`tools/make_reference.py`) are made from them.
"""

from __future__ import annotations

import json
from typing import get_args

from lpca.base.arguments import MAX_K
from lpca.gatespec.kinds import (
    IDENTIFIER,
    TEXT,
    Choice,
    Identifier,
    Integer,
    ListOf,
    Number,
    Schema,
    Setting,
    Word,
)
from lpca.gatespec.model import (
    CONDITIONS,
    Answers,
    Cluster,
    Normalised,
    Score,
    Severity,
    Template,
)
from lpca.gatespec.sections import REQUIRED, Either, Key, Others, Table, Variants
from lpca.gatespec.values import SEED, ClaimText, Joint, Method, Seeds, TaskSeed, Where

MAX_GATES = 100
NULL_FORMS = {
    "zeros": "zeros",
    "zero": "zeros",
    "decode_zero": "decode_zero",
    "decode(0)": "decode_zero",
    "decoded_zero": "decode_zero",
    "mean": "mean",
    "learned": "learned",
}
"""How `null` may be said to be made: by word, what it means."""

VERSION = Integer(1, 1)
EPISODES = Integer(1, 1_000_000)
K = Integer(1, MAX_K)
RATE = Number(0.0, 1.0)
LEVEL = Number(0.0, 1.0, nearest=1e-9)
"""A confidence: nearer to 0 or 1 than that it is lost in rounding."""
BITS = Number(0.0, 1e12)
TEMPERATURE = Number(0.0, 10.0, nearest=1e-3)
KS = ListOf(
    K, "a k", fewest=1, too_few="k is a list; allowed: a list of at least one k", distinct=True
)

TASK = Table(
    (
        Key(
            "name",
            TEXT,
            "which task: `trip`, `relay`, a family `s1`, `s2`, `s3`, `qa`, or `episodes` for "
            "your own",
            REQUIRED,
            "[your own episodes](own-episodes.md)",
        ),
        Key(
            "seed",
            TaskSeed(),
            "names the test episodes; `drawn`: drawn once the codec is there",
            REQUIRED,
            "[commit, then draw](validity.md#commit-then-draw)",
        ),
    ),
    (
        Others(
            "`*_seed`, `*_seeds`",
            "[a-z_]+_seeds?",
            Seeds(),
            "seeds of other episodes, such as `train_seed`; they may not meet `seed` or one "
            "another",
        ),
        Others(
            "`map`",
            "map",
            Table(
                others=(
                    Others(
                        "a field of a row",
                        None,
                        TEXT,
                        "the column that it is read from, dotted into what is nested",
                    ),
                ),
                what="map {key}",
            ),
            "for `episodes`: which column of the file is which field",
        ),
        Others(
            "any other key",
            None,
            Setting(),
            "a setting handed to the task: `options` is how many B chooses among; `file`, for "
            "`episodes`, is a path from the spec's folder, or `hf:NAME`",
        ),
    ),
    what="the task's {key}",
)

EVALUATION = Table(
    (
        Key("n", EPISODES, "episodes per gate", REQUIRED),
        Key(
            "score",
            Choice(get_args(Score)),
            "which success the criteria read: the likeliest option, the generated answer (both are "
            "reported), or a `graded` mark in [0, 1]",
            "likelihood",
            "[Graded scores](#graded-scores)",
        ),
        Key(
            "confidence",
            LEVEL,
            "two-sided level of intervals; a one-sided claim spends half of the rest",
            0.95,
        ),
        Key(
            "equivalence_confidence",
            LEVEL,
            "level of the interval for claims with two margins; by default 2 × confidence − 1",
            what="confidence",
        ),
        Key(
            "checkpoints",
            Integer(1, 100),
            "how many looks the same test episodes may serve, each codec by each gate being one: "
            "claims about the codec are read at alpha divided by it",
            3,
            "[the ledger](validity.md#the-ledger)",
        ),
        Key(
            "cluster",
            Choice(get_args(Cluster)),
            "what counts as one piece of evidence: a `group` of episodes, or with `none` each "
            "episode, which needs a `why`",
            "group",
        ),
        Key("why", TEXT, "the reason for `cluster: none`, or for another unusual setting", ""),
        Key(
            "normalised",
            Choice(get_args(Normalised)),
            "what the likelihood of an option is set in relation to: its `bytes`, its `tokens`, or "
            "its likelihood without the question (`pmi`); with `score: likelihood` alone",
            "none",
        ),
        Key(
            "repeats",
            Integer(1, 1000),
            "how often each episode is read; its readings are one unit; more than one needs a "
            "`temperature`",
            1,
        ),
        Key("temperature", TEMPERATURE, "that at which answers are sampled"),
    )
)

JOIN = Table(
    (
        Key("message", Joint(), "before the message, by default a space"),
        Key("answer", Joint(), "before an answer, by default a space, in a chat nothing"),
    ),
    what="join's {key}",
)
PROMPT = Table(
    (
        Key(
            "template",
            Choice(get_args(Template)),
            "with `chat` B's texts are a user's turn in the receiver's own chat template, the slot "
            "inside, and B answers behind the assistant's prefix",
            "none",
        ),
        Key("system", TEXT, "a system text before the turn; with `template: chat` alone", ""),
        Key(
            "join",
            JOIN,
            'what stands between B\'s texts: blanks, as in `{message: " ", answer: ""}`',
        ),
    ),
    what="prompt's {key}",
)

CONFIRM = Table(
    (Key("seed", SEED, "names the episodes that confirm the choice", REQUIRED),),
    what="confirm's {key}",
)
BEST_OF = Table(
    (Key("confirm", CONFIRM, "fresh episodes; nothing is decided on them", what="{key}"),),
    (
        Others(
            "PARAMETER",
            None,
            ListOf(
                Word(),
                "a value of {key}",
                fewest=2,
                too_few="best_of {key} is a list; allowed: a list of at least two values",
            ),
            "the values that are tried",
            fewest=1,
            most=1,
            too_many="best_of sweeps {} parameters; exactly one is allowed",
        ),
    ),
    what="best_of {key}",
)
BEST_OF_KEY = Key(
    "best_of",
    BEST_OF,
    "a sweep whose best value is gated: `{scale: [0.5, 1.0], confirm: {seed: 9}}`; read and "
    "refused, since no command carries the confirmation out",
)
WHERE_KEY = Key(
    "where",
    Where(),
    "episodes by outcome (`null fails`, `p1 succeeds`, joined by `and`); read and refused",
)

_DISCORDANT = "the supposed share of episodes on which the claim's two conditions differ"
CRITERION = Table(
    (
        Key("id", Identifier(), "names its test", REQUIRED, what="a criterion's id"),
        Key("claim", ClaimText(), "what must hold", REQUIRED, "[Claims](#claims)", "the claim"),
        Key("why", TEXT, "the reason, shown in reports", ""),
        Key(
            "expect",
            Table((Key("discordant", RATE, _DISCORDANT, REQUIRED),)),
            f"`{{discordant: 0.1}}`: {_DISCORDANT}",
            what="a criterion's expect",
        ),
        Key(
            "method", Method(), "the claim's own method by name; other methods are read and refused"
        ),
        Key("confidence", LEVEL, "a level of its own; refused unless it is the evaluation's"),
        Key(
            "cluster",
            Choice(get_args(Cluster)),
            "as of the evaluation, whose value holds by default; `none` needs a `why`",
        ),
        Key(
            "severity",
            Choice(get_args(Severity)),
            "with `warn` it is shown and counted, and decides nothing",
            "error",
        ),
        WHERE_KEY,
        BEST_OF_KEY,
    ),
    titled="criterion {}",
)

_CORRELATION = "the share of episodes whose difficulty decides all conditions at once"
_ICC = "how alike the outcomes of one group are: the intraclass correlation"
EXPECT = Table(
    (
        *(Key(name, RATE, f"the supposed success rate of {name}") for name in CONDITIONS),
        Key("correlation", RATE, _CORRELATION, 0.0),
        Key("icc", RATE, _ICC, 0.0),
    ),
    what="the expected rate of {key}",
    among="conditions",
    choices=CONDITIONS,
)
SEQUENTIAL = Variants(
    "rule",
    "how looks are paid for",
    {
        "e-process": Table((Key("block", EPISODES, "episodes between looks", REQUIRED),)),
        "obrien-fleming": Table(
            (Key("looks", Integer(2, 20), "how many, at even distances", REQUIRED),),
            what="the number of {key}",
        ),
    },
)
FAMILY = Table(
    (Key("any", KS, "one of these k suffices", ()), Key("all", KS, "all of these k must pass", ())),
    what="k",
    one_of=True,
)
CONTROLS = Table(
    (Key("null", Choice(tuple(NULL_FORMS), means=NULL_FORMS), "how null is made; sound: `zeros`"),),
    what="form of {key}",
    among="conditions",
    choices=("null",),
)
_SHOWN = "list of [conditions](concepts.md#conditions)"
_OTHER_GATES = ListOf(Identifier("siblings"), "gate in {key}", distinct=True)
GATE = Table(
    (
        Key(
            "title", TEXT, "what the gate shows, in words; by default its name", "", "", "the title"
        ),
        Key("answers", Choice(get_args(Answers)), "which answers its episodes have", "all"),
        Key(
            "requires",
            _OTHER_GATES,
            "gates that must pass on the same episodes; else this one is INVALID",
            (),
        ),
        Key(
            "beside",
            _OTHER_GATES,
            "gates that are shown with this one and do not change its verdict",
            (),
        ),
        # before expect, criteria, where, controls and reported, which are held against them
        Key(
            "conditions",
            ListOf(
                Choice(CONDITIONS),
                "condition",
                fewest=1,
                too_few="{section} runs no condition; name at least one",
                distinct=True,
                shown=_SHOWN,
            ),
            "the conditions its episodes run under",
            REQUIRED,
            what="the list of conditions",
        ),
        Key(
            "expect",
            EXPECT,
            "supposed success rate by condition; `correlation` in [0, 1]: "
            f"{_CORRELATION}; `icc` in [0, 1]: {_ICC} (both 0 by default)",
        ),
        Key(
            "criteria",
            ListOf(
                CRITERION,
                "a criterion",
                fewest=1,
                too_few="{section} has no criterion; at least one is due",
            ),
            "all must pass",
            REQUIRED,
            what="the criteria of {section}",
        ),
        Key("n", EPISODES, "episodes, in place of the evaluation's"),
        Key(
            "looks",
            ListOf(EPISODES, "a look", distinct=True, rising=True),
            "rising numbers of episodes after which the data are read; more than one needs "
            "`sequential`",
            (),
        ),
        Key(
            "sequential",
            SEQUENTIAL,
            "a stopping rule: `{rule: e-process, block: 50}` or `{rule: obrien-fleming, looks: 4}`",
            see="[Early stopping](#early-stopping)",
        ),
        WHERE_KEY,
        BEST_OF_KEY,
        Key(
            "k",
            Either(KS, FAMILY),
            "every k that is tried: `[4, 8]` or `{all: [4, 8]}` when all must pass, "
            "`{any: [4, 8]}` when one suffices",
            (),
            "[Several k](#several-k)",
        ),
        Key(
            "controls",
            CONTROLS,
            "how a control is made: `{null: zeros}`. `decode(0)`, `mean` and `learned` are read "
            "and refused",
        ),
        Key(
            "reported",
            ListOf(
                Choice(CONDITIONS, "conditions"), "reported condition", distinct=True, shown=_SHOWN
            ),
            "conditions run for their numbers alone (success, bits, tokens, time), which no "
            "criterion reads",
            (),
            "[Capability](lab/capability.md)",
            "the list of reported conditions",
        ),
        Key(
            "max_bits",
            BITS,
            "the most bits that a message's packet may hold, by its form or as its codec declares; "
            "else the gate is INVALID",
            see="[own codec](own-codec.md)",
        ),
    )
)
GATES = Table(
    others=(
        Others(
            "NAME",
            IDENTIFIER,
            GATE,
            "a gate, by its name",
            fewest=1,
            most=MAX_GATES,
            too_many=f"{{}} gates; allowed: at most {MAX_GATES}",
            names="a gate's name",
        ),
    ),
    what="gate {key}",
)

SPEC = Table(
    (
        Key("version", VERSION, "the version of this format", REQUIRED),
        Key("task", TASK, "which episodes", REQUIRED),
        Key("evaluation", EVALUATION, "how many, which success counts, at which level", REQUIRED),
        Key("prompt", PROMPT, "how B's texts become its prompt", see="[`prompt`](#prompt)"),
        Key("gates", GATES, "what must hold, by the gate's name", REQUIRED),
    )
)


def json_schema() -> Schema:
    """The tables as JSON Schema, draft 2020-12, for editors.

    A schema sees values as YAML has resolved them and each by itself. So it takes what the loader
    refuses where that is a matter of writing (`400.0` for a whole number), of a relation (a
    condition that the gate does not run, looks that do not rise, a required gate that is not
    there), or of the grammar of a claim beyond its words. An empty value is `null`, which it takes
    only where the word null may stand. It refuses one thing that the loader takes: a word that
    YAML resolves to another type (`id: true`, `label: null`), unless quoted.

    Returns:
        JSON-able values.

    Example:
        >>> json_schema()["required"]
        ['version', 'task', 'evaluation', 'gates']
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "LPCA gate spec",
        **SPEC.schema(),
        "$defs": {"seeds": Seeds().definition()},
    }


def schema_text() -> str:
    """The schema as the text of its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
