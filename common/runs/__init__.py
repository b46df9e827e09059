"""Runs of many trainings: cells, the workers that train them, what they leave, and the run around them."""
