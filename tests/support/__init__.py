"""Helpers of the tests, and the loopback data centre of tests, demo and benchmarks."""
