"""Checks of live traffic whose truth is known, or estimated; against the reference."""
