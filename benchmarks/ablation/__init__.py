"""The parts of benchmarks/ablations.py: the networks with something missing, the runs, and what is shown of them."""
