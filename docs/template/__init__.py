"""Title of the paper, Authors, Journal, Year: the task in one line.

`python -m replications.new_paper.run` reproduces its tables; README.md beside this file says what came out.
"""
