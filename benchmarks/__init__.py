"""Benchmarks: each room `bench_NAME.py` has `run() -> list[Row]`. `make bench` prints them as one table."""
