"""mailframe beside other mail servers in one run; `python -m benchmarks --help`."""
