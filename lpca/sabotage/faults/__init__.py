"""The faults, by what they spoil; each function enters its own in the catalogue."""
