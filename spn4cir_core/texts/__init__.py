"""Room: texts."""
