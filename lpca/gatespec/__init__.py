"""Gate specs: YAML to a typed spec with places, and the checker that refuses unsound ones."""
