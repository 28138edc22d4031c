"""HTTP: a shell around endpoints; each protocol is a file that lists its own."""
