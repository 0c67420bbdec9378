"""SPRC: a BLIP-2 Q-Former that turns reference and text into sentence-level prompts."""
