"""Channels: scores of every picture of a gallery for a composed query, one plug-in for each source of evidence."""
