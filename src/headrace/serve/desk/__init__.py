"""The desk: rows in, answers out, by route, with rules, fallback, review and log. Knows nothing of HTTP."""
