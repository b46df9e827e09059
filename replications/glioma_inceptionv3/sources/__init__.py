"""Readers of the collections, and phantoms."""
