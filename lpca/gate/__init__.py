"""One run of a gate: plan it, measure it, decide it."""
