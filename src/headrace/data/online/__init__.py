"""Facts for answering at once: from rows of tables into an online store, and found there."""
