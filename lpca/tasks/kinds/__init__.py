"""Every task, one a file: the file's name is the name under which a spec's `task:` asks for it."""
