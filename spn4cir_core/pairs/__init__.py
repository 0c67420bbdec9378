"""Room: pairs."""
