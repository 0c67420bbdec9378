"""Room: captions."""
