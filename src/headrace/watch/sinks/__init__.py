"""Where alerts go: the log, webhooks, e-mail, Slack-compatible webhooks."""
