"""Documents and plots: pure functions of what the ledger and its artifacts tell."""
