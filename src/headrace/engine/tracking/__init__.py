"""Runs of the user's own scripts, in the same ledger as the spine's."""
