"""What every room may use: errors, exit codes, files, hashes, the version."""
