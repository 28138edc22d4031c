"""What a table's rows hold, in one pass over them and in memory that doesn't grow with their number."""
