"""Floor 4: the readable spine (`plan`), memoised stages (`memo`), gates, runs and releases."""
