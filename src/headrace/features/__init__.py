"""The feature matrix: what its columns are, what is learned for them, and the graph that makes it."""
