"""What the tap costs, measured: `python -m tests.bench`; docs/benchmarks.md explains the table it prints."""
