"""Readers of raw bone scans and chest radiographs, and phantoms in the real formats."""
