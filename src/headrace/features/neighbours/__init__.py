"""Neighbours: what the nearest training rows say of a row, the same offline and in the graph."""
