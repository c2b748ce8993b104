"""Parts that others wrote, gated as they are: each module's factory is a `--codec`."""
