"""What a release is exported as: pure functions from what there is to files."""
