"""Loads the plugin that turns `gate_specs.yaml` into tests."""

pytest_plugins = ["lpca.pytest_plugin"]
