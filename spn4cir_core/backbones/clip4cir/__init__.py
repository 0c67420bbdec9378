"""CLIP4Cir: CLIP image and text vectors joined by a composer (sum or Combiner)."""
