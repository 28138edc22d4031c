"""Encodings: numbers in place of a category or a text, learned of training rows."""
