"""Which printed numbers can exist? Arithmetic alone tells. Command line: `python -m common.audit`."""
