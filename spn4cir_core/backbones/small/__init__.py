"""A convolutional image tower and a word-level text tower trained from scratch; for the built-in corpus."""
