"""Mechanics that the replications share unchanged; this package knows no paper by name."""
