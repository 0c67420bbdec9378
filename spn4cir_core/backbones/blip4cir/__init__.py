"""BLIP4CIR: a BLIP image-grounded text encoder as query encoder, BLIP image vectors as targets."""
