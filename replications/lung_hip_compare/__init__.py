"""Replication of: Liu H, Kang X, Li B, Zhang H, Feng J, Han J. Comparative Study on Classification and Recognition of
Medical Images Using Deep Learning Network. Computer Science (in Chinese) 2021;48(6A):89-94,
doi:10.11896/jsjkx.201000116.

Reading order: paper.toml, config.py, data.py (sources/), models.py (dbn.py, sgan.py, weights.py), train.py, experiments.py,
figures.py, run.py, predict.py.
"""
