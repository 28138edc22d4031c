"""Watching live traffic: windows, checks, alerts; what is told of them, and to whom."""
