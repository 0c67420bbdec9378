"""Low-rank adapters inside an encoder that reads pictures and texts."""
