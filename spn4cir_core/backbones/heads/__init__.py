"""Trainable heads on features of a frozen image network and a frozen sentence encoder; small enough for a CPU."""
