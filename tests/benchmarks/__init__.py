"""Benchmarks, printed as a table of ratios by `nox -s bench`; no test depends on their timings."""
