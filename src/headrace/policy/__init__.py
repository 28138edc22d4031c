"""What should be done, decided from views: pure functions."""
