"""Gate specs: YAML to a typed spec that knows the place of each key."""
