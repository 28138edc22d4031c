"""Choosing features: forward, by cross-validated gain, held against noise."""
