"""The sections of a run's report, each a function of what is told of the run and the records read from it."""
