"""The spec against the tables' columns and against itself: one file a part of the spec."""
