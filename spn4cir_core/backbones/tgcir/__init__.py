"""TG-CIR: CLIP with global and local attribute features and a target-guided teacher."""
