"""Room: annotations."""
