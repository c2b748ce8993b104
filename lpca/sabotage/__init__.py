"""Known ways to fool a gate, planted one at a time, with the check that must catch each."""
