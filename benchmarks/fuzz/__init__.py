"""Parts of lint_fuzz.py: small data sets, mutations of files, and faults that are planted at a known place."""
