"""Tables, findings and pages of a run, and the READMEs. Command line: `python -m common.report`."""
