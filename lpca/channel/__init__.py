"""The wire between two sides of a channel: what crosses is bytes, each side in its own process."""
