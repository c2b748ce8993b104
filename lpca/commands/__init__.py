"""The subcommands of `lpca`, one module each."""
