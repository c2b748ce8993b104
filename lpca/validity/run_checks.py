"""Run every check, in an order in which each may trust what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lpca.validity import cost, encoding, episodes, injection, model_calls, prompts
from lpca.validity import ledger_checks as memory
from lpca.validity.audit import Audit, Leak, Unknown
from lpca.validity.catalogue import CHECKS, Check, CheckResult
from lpca.validity.form import form_gives_no_answer

_FINDERS: Mapping[str, Callable[[Audit], str]] = MappingProxyType(
    {
        finder.__name__: finder
        for finder in (
            model_calls.receiver_frozen,
            model_calls.slow_path_agrees,
            model_calls.outcomes_traced,
            model_calls.plumbing_logits,
            model_calls.prefix_used,
            episodes.episodes_complete,
            episodes.splits_disjoint,
            episodes.position_balanced,
            episodes.donors_deranged,
            form_gives_no_answer,
            prompts.no_answer_outside_options,
            prompts.prompt_is_p0s,
            prompts.text_is_message,
            prompts.prompt_ignores_message,
            injection.latents_injected,
            injection.shuffle_is_donors,
            injection.null_is_zero,
            injection.random_has_norms,
            injection.random_is_noise,
            injection.static_is_static,
            injection.mean_is_mean,
            injection.same_answer_agrees,
            encoding.encoding_repeatable,
            cost.numbers_reported,
            memory.ledger_intact,
            memory.checkpoints_accounted,
            memory.looks_accounted,
        )
    }
)


def run_checks(audit: Audit) -> list[CheckResult]:
    """Run every check; one that has nothing sound to read does not apply."""
    results: dict[str, CheckResult] = {}
    unsound: set[str] = set()
    for check in CHECKS:
        upset = [name for name in check.after if name in unsound]
        results[check.id] = _result(check, audit, upset)
        if upset or results[check.id].passed is False:
            unsound.add(check.id)
    return list(results.values())


def _result(check: Check, audit: Audit, upset: list[str]) -> CheckResult:
    missing = [c for c in check.needs if c not in audit.records]
    if missing:
        return CheckResult(check.id, check.title, None, f"not evaluated: {', '.join(missing)}")
    if upset:
        detail = f"nothing to read: {', '.join(upset)} does not hold"
        return CheckResult(check.id, check.title, None, detail)
    try:
        return CheckResult(check.id, check.title, True, _FINDERS[check.id](audit))
    except Unknown as unknown:
        return CheckResult(check.id, check.title, None, str(unknown))
    except Leak as leak:
        return CheckResult(check.id, check.title, False, str(leak))
