"""Room: triplets."""
