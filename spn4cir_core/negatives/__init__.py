"""Room: negatives."""
