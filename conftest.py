pytest_plugins = ["lpca.pytest_plugin", "pytester"]
