"""The Dagster side of spn4cir: it decides when a stage runs, never how."""
