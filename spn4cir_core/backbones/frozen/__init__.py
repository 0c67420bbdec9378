"""Trainable heads on the vectors of a frozen encoder that reads pictures and texts."""
