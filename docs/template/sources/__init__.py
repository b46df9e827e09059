"""Readers of one collection each, and the paper's phantoms."""
