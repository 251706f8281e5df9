"""Tests of the benchmarks: their arithmetic, and a small slice of each run as it stands."""
