"""What a spec file may hold: each key's type, range, choices, default and meaning, stated once.

The loader reads by these tables, `lpca.gatespec.json_schema` renders them for editors, and
`tools/make_reference.py` for the documentation.
"""

from __future__ import annotations

from typing import get_args

from lpca.base.arguments import MAX_K
from lpca.gatespec.kinds import (
    REQUIRED,
    Choice,
    Either,
    Form,
    Integer,
    Key,
    ListOf,
    Number,
    Others,
    Table,
    Variants,
)
from lpca.gatespec.model import CONDITIONS, Answers, Score

IDENTIFIER = "[a-z][a-z0-9_]*"
RESERVED_NAMES = frozenset(
    {"and", "or", "not", "parametrize", "skip", "skipif", "xfail", "usefixtures"}
    | {"filterwarnings", "tryfirst", "trylast", "xdist_group"}
)
"""Names that mean something else to `pytest -m` or `-k`."""
SEED_KEY = "[a-z_]+_seeds?"
SEED_RANGE = r"([0-9]{1,12}) ?\.\. ?([0-9]{1,12})"
NEAREST = 1e-9
"""How near to 0 or 1 a confidence may lie: nearer ones are lost in rounding."""
MAX_GATES = 100
MAX_WHERE = 200
"""Characters of a `where`."""
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
SEED = Integer(0)
EPISODES = Integer(1, 1_000_000)
CHECKPOINTS_SPAN = Integer(1, 100)
LOOKS = Integer(2, 20)
K = Integer(1, MAX_K)
RATE = Number(0.0, 1.0)
LEVEL = Number(NEAREST, 1.0 - NEAREST)
TEXT = Form("text")
KS = ListOf(K, fewest=1, distinct=True)

TASK = Table(
    (
        Key(
            "name",
            TEXT,
            "which task: `trip`, `relay`, a family `s1`, `s2`, `s3`, or `episodes` for your own",
            REQUIRED,
            "[your own episodes](own-episodes.md)",
        ),
        Key("seed", SEED, "names the test episodes", REQUIRED),
    ),
    (
        Others(
            "`*_seed`, `*_seeds`",
            SEED_KEY,
            Form("seeds"),
            "seeds of other episodes, such as `train_seed`; they may not meet `seed` or one "
            "another",
        ),
        Others(
            "any other key",
            None,
            Form("setting"),
            "a setting handed to the task: `options` is how many B chooses among; `file`, for "
            "`episodes`, is a path from the spec's folder",
        ),
    ),
)

SCORE: Key[Score] = Key(
    "score",
    Choice(get_args(Score)),
    "which success the criteria read; both are reported",
    "likelihood",
)
CONFIDENCE = Key(
    "confidence",
    LEVEL,
    "two-sided level of intervals; a one-sided claim spends half of the rest",
    0.95,
)
CHECKPOINTS = Key(
    "checkpoints",
    CHECKPOINTS_SPAN,
    "how many codecs, or readings of one codec, the same test episodes may serve, each paid for",
    3,
    "[the ledger](validity.md#the-ledger)",
)
EVALUATION = Table(
    (
        Key("n", EPISODES, "episodes per gate", REQUIRED),
        SCORE,
        CONFIDENCE,
        Key(
            "equivalence_confidence",
            LEVEL,
            "level of the interval for claims with two margins; by default 2 × confidence − 1",
            None,
        ),
        CHECKPOINTS,
    )
)

CONFIRM = Table((Key("seed", SEED, "names the episodes that confirm the choice", REQUIRED),))
BEST_OF = Table(
    (Key("confirm", CONFIRM, "fresh episodes, which decide", None),),
    (
        Others(
            "PARAMETER",
            None,
            ListOf(Form("value"), fewest=2),
            "the values that are tried",
            fewest=1,
            most=1,
        ),
    ),
)
BEST_OF_KEY = Key(
    "best_of",
    BEST_OF,
    "a sweep whose best value is gated: `{scale: [0.5, 1.0], confirm: {seed: 9}}`; the confirming "
    "episodes decide",
    None,
)
WHERE_KEY = Key(
    "where",
    Form("where"),
    "episodes by outcome (`null fails`, `p1 succeeds`, joined by `and`); read and refused",
    None,
)

CRITERION_EXPECT = Table(
    (
        Key(
            "discordant",
            RATE,
            "the supposed share of episodes on which the claim's two conditions differ",
            REQUIRED,
        ),
    )
)
CRITERION = Table(
    (
        Key("id", Form("identifier"), "names its test", REQUIRED),
        Key("claim", Form("claim"), "what must hold", REQUIRED, "[Claims](#claims)"),
        Key("why", TEXT, "the reason, shown in reports", None),
        Key(
            "expect",
            CRITERION_EXPECT,
            "`{discordant: 0.1}`: the supposed share of episodes on which the claim's two "
            "conditions differ",
            None,
        ),
        Key(
            "method",
            Form("method"),
            "the claim's own method by name; other methods are read and refused",
            None,
        ),
        Key(
            "confidence",
            LEVEL,
            "a level of its own; refused unless it is the evaluation's",
            None,
        ),
        WHERE_KEY,
        BEST_OF_KEY,
    )
)

ANSWERS: Key[Answers] = Key(
    "answers", Choice(get_args(Answers)), "which answers its episodes have", "all"
)
CORRELATION = Key(
    "correlation",
    RATE,
    "the share of episodes whose difficulty decides all conditions at once",
    0.0,
)
EXPECT = Table(
    (
        *(Key(name, RATE, f"the supposed success rate of {name}", None) for name in CONDITIONS),
        CORRELATION,
    )
)
SEQUENTIAL = Variants(
    "rule",
    "how looks are paid for",
    {
        "e-process": Table((Key("block", EPISODES, "episodes between looks", REQUIRED),)),
        "obrien-fleming": Table((Key("looks", LOOKS, "how many, at even distances", REQUIRED),)),
    },
)
FAMILY = Table(
    (
        Key("any", KS, "one of these k suffices", None),
        Key("all", KS, "all of these k must pass", None),
    ),
    one_of=True,
)
CONTROLS = Table(
    (Key("null", Choice(tuple(NULL_FORMS)), "how null is made; sound: `zeros`", None),)
)
GATE = Table(
    (
        Key("title", TEXT, "what the gate shows, in words; by default its name", None),
        ANSWERS,
        Key(
            "requires",
            ListOf(Form("identifier"), distinct=True),
            "gates that must pass on the same episodes; else this one is INVALID",
            None,
        ),
        Key(
            "beside",
            ListOf(Form("identifier"), distinct=True),
            "gates that are shown with this one and do not change its verdict",
            None,
        ),
        Key(
            "conditions",
            ListOf(Choice(CONDITIONS), fewest=1, distinct=True),
            "the conditions its episodes run under",
            REQUIRED,
        ),
        Key(
            "expect",
            EXPECT,
            "supposed success rate by condition, and `correlation` in [0, 1]: the share of "
            "episodes whose difficulty decides all conditions at once (0 by default)",
            None,
        ),
        Key("criteria", ListOf(CRITERION, fewest=1), "all must pass", REQUIRED),
        Key("n", EPISODES, "episodes, in place of the evaluation's", None),
        Key(
            "looks",
            ListOf(EPISODES, distinct=True),
            "rising numbers of episodes after which the data are read; more than one needs "
            "`sequential`",
            None,
        ),
        Key(
            "sequential",
            SEQUENTIAL,
            "a stopping rule: `{rule: e-process, block: 50}` or `{rule: obrien-fleming, looks: 4}`",
            None,
            "[Early stopping](#early-stopping)",
        ),
        WHERE_KEY,
        BEST_OF_KEY,
        Key(
            "k",
            Either((KS, FAMILY)),
            "every k that is tried: `[4, 8]` or `{all: [4, 8]}` when all must pass, "
            "`{any: [4, 8]}` when one suffices",
            None,
            "[Several k](#several-k)",
        ),
        Key(
            "controls",
            CONTROLS,
            "how a control is made: `{null: zeros}`. `decode(0)`, `mean` and `learned` are read "
            "and refused",
            None,
        ),
        Key(
            "reported",
            ListOf(Choice(CONDITIONS), distinct=True),
            "conditions run for their numbers alone (success, bits, tokens, time), which no "
            "criterion reads",
            None,
            "[Capability](capability.md)",
        ),
    )
)
GATES = Table(
    others=(Others("NAME", IDENTIFIER, GATE, "a gate, by its name", fewest=1, most=MAX_GATES),)
)

SPEC = Table(
    (
        Key("version", VERSION, "the version of this format", REQUIRED),
        Key("task", TASK, "which episodes", REQUIRED),
        Key("evaluation", EVALUATION, "how many, which success counts, at which level", REQUIRED),
        Key("gates", GATES, "what must hold, by the gate's name", REQUIRED),
    )
)
