"""Mechanics that the replications share unchanged; this package knows no paper by name."""

__version__ = "0.2.0"  # of the whole suite; setup.cfg reads it here, CITATION.cff repeats it
