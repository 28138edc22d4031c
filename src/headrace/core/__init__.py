"""Floor 1: the nouns, `judge`, errors, digests, clock and ports. No I/O, no heavy import."""
