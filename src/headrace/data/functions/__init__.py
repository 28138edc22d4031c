"""Features that are functions of the user's own: their code, kept as it is, and the calls."""
