"""Room: splits."""
