"""The parts of benchmarks/throughput.py: what it measures, and how it shows that."""
