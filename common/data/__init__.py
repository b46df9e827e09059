"""One raw file at a time, hostile until it is read."""
