"""The blend: calibrated channels, added with weights that are fitted without annotation."""
