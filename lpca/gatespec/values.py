"""Values with a grammar of their own: claims, methods, filters by outcome, seeds."""

from __future__ import annotations

import re

from lpca.base.registry import numbered_in, suggestion
from lpca.gatespec.claim_parser import EXAMPLES, MAX_LENGTH, WRAPPERS
from lpca.gatespec.claims import ClaimError, parse_claim
from lpca.gatespec.document import Items, Node, Scalar, SpecError, as_scalar, refuse
from lpca.gatespec.kinds import NOT_BLANK, NOTHING, Integer, Kind, Known, Schema
from lpca.gatespec.model import CONDITIONS, Filter
from lpca.stats.claims import Band, Claim, Difference, Gain, Rate, Ratio

SEED = Integer(0)
DRAWN = "drawn"
"""In place of the test episodes' seed: it is drawn once the codec is there."""
SEED_RANGE = r"([0-9]{1,12}) ?\.\. ?([0-9]{1,12})"
MAX_JOINT = 8
JOINT = rf"[ \t\n]{{0,{MAX_JOINT}}}"
MAX_WHERE = 200
"""Characters of a `where`."""
_NUMBER = r"[0-9.]+(?:[eE][+-]?[0-9]+)?(?![0-9.])"
_COMPARISONS = "<>=~≈≥≤"
_FAILS = frozenset({"fails", "failed", "fail", "wrong", "false", "0"})
_SUCCEEDS = frozenset({"succeeds", "succeeded", "succeed", "right", "true", "1"})
_FILTER = re.compile(r"(?:(not)\s+)?([a-z_][a-z0-9_]*)(?:\s*(?:==?|\bis\b)?\s*([a-z0-9]+))?")
SOUND = tuple(str(kind.method) for kind in (Difference, Rate, Ratio, Gain))
"""Methods that decide claims here."""
INDEPENDENT = frozenset(
    {"two-proportion-z", "two-proportions", "z-test", "pooled-z", "unpooled-z"}
    | {"chi2", "chi-squared", "chi-square", "g-test", "fisher", "fisher-exact", "barnard"}
    | {"boschloo", "welch", "t-test", "ttest", "ttest-ind", "student", "mann-whitney"}
    | {"mannwhitneyu", "miettinen-nurminen", "farrington-manning", "agresti-caffo", "wald"}
    | {"newcombe-independent", "independent", "independent-wilson", "two-sample"}
)
"""Methods for two separate samples, as their authors and libraries call them."""

NO_METHOD = frozenset({"none", "point", "point-estimate", "raw", "observed"})
"""Ways to ask for no inference at all."""


def normal_form(name: str) -> str:
    """A method's name in lower case with hyphens."""
    return "-".join(name.strip().lower().replace("_", " ").replace("-", " ").split())


def is_unpaired(method: str | None, claim: Claim) -> bool:
    """Whether the method treats the two conditions of a claim as separate samples."""
    if isinstance(claim, Rate | Band):
        return False
    return method in INDEPENDENT or method == "wilson"


class ClaimText(Kind):
    """A comparison of the gate's conditions."""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> Claim:
        """Return the claim; its errors stand at the character that is wrong."""
        scalar = as_scalar(node, what, "a claim")
        try:
            return parse_claim(scalar.text, known["conditions"])
        except ClaimError as error:
            raise SpecError(scalar.at(error.offset), str(error)) from None

    def schema(self) -> Schema:
        """Return known words with a comparison: each token can end in one place only."""
        numbered = [one.pattern for one in numbered_in(CONDITIONS)]
        words = "|".join([*sorted((*CONDITIONS, *WRAPPERS), key=len, reverse=True), *numbered])
        symbols = rf"[{_COMPARISONS}+−*×/()-]"
        token = rf"{_NUMBER}|(?:{words})(?![A-Za-z0-9_])|{symbols}"
        return {
            "type": "string",
            "maxLength": MAX_LENGTH,
            "pattern": rf"^(?=[\s\S]*[{_COMPARISONS}])\s*(?:(?:{token})\s*)+$",
            "examples": list(EXAMPLES),
        }


class Method(Kind):
    """The method a criterion asks for, by one of its names."""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> str:
        """Return its name in lower case with hyphens."""
        own = known["claim"].method
        scalar = as_scalar(node, what, "the name of a method")
        name = normal_form(scalar.text)
        if name not in SOUND and name not in INDEPENDENT | NO_METHOD:
            refuse(scalar, f"the {what}", own or "none: this claim has no method")
        # wilson on a pair is read: the checker says that it takes them for separate samples
        if name in SOUND and name not in (own, "wilson"):
            allowed = own or "a claim with a margin"
            message = f"{name} does not decide this claim; allowed: {allowed}"
            raise SpecError(scalar.position, message)
        return name

    def schema(self) -> Schema:
        """Return those that decide claims, and any other text."""
        return {"type": "string", "anyOf": [{"enum": list(SOUND)}, {"pattern": NOT_BLANK}]}


class Where(Kind):
    """`null fails`, `p1 succeeds`, `not null`; several joined by `and`."""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> Filter:
        """Return which condition must have failed or succeeded."""
        allowed = "'CONDITION fails' or 'CONDITION succeeds', joined by 'and'"
        scalar = as_scalar(node, what, allowed)
        if len(scalar.text) > MAX_WHERE:
            refuse(node, what, f"{allowed}, in at most {MAX_WHERE} characters")
        outcomes = []
        for part in re.split(r"\band\b", scalar.text):
            found = _FILTER.fullmatch(part.strip())
            negated, condition, word = found.groups() if found else ("", "", "")
            if found and condition not in known["conditions"]:
                hint = suggestion(condition, known["conditions"])
                unknown = f"unknown condition {condition!r} in {what}; {hint}"
                raise SpecError(scalar.position, unknown)
            if word is not None and word not in _FAILS | _SUCCEEDS:
                refuse(scalar, what, allowed)
            outcomes.append((condition, (word is None or word in _SUCCEEDS) != bool(negated)))
        return Filter(tuple(outcomes), scalar.text)

    def schema(self) -> Schema:
        """Return any text: its grammar is the loader's."""
        return {"type": ["string", "null"], "maxLength": MAX_WHERE, "pattern": NOT_BLANK}


class Joint(Kind):
    """What stands between two texts: blanks, or nothing."""

    allowed = f'blanks in quotes, at most {MAX_JOINT}: "", " " or "\\n"'

    def read(self, node: Node, what: str, known: Known = NOTHING) -> str:
        """Return it."""
        if not isinstance(node, Scalar) or node.plain or not re.fullmatch(JOINT, node.text):
            refuse(node, what, self.allowed)
        return node.text

    def schema(self) -> Schema:
        """Return the pattern."""
        return {"type": "string", "pattern": f"^{JOINT}$"}


class TaskSeed(Kind):
    """The seed of the test episodes, or the word `drawn`: named once the codec is there."""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> int | str:
        """Return the seed, or the word."""
        if isinstance(node, Scalar) and node.text == DRAWN:
            return DRAWN
        return SEED.read(node, what)

    def schema(self) -> Schema:
        """Return both."""
        return {"anyOf": [SEED.schema(), {"const": DRAWN}]}


class Seeds(Kind):
    """Seeds as `7`, `0..999` or a list of either."""

    def read(self, node: Node, what: str, known: Known = NOTHING) -> tuple[tuple[int, int], ...]:
        """Return inclusive ranges."""
        if isinstance(node, Items):
            return tuple(pair for item in node.nodes for pair in self.read(item, what))
        span = re.fullmatch(SEED_RANGE, node.text) if isinstance(node, Scalar) else None
        if span and int(span[1]) <= int(span[2]):
            return ((int(span[1]), int(span[2])),)
        seed = SEED.read(node, what)
        return ((seed, seed),)

    def schema(self) -> Schema:
        """Refer to the definition: lists may hold lists."""
        return {"$ref": "#/$defs/seeds"}

    def definition(self) -> Schema:
        """Return what `schema` refers to."""
        written = {"type": "string", "pattern": f"^{SEED_RANGE}$"}
        return {"anyOf": [SEED.schema(), written, {"type": "array", "items": self.schema()}]}
