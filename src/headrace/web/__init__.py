"""The dashboard: pages of what the ledger and the log tell, as HTML and as JSON."""
