"""Drawing alone: numbers in, a matplotlib Figure out."""
