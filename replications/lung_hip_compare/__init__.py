"""Replication of: Liu H, Kang X, Li B, Zhang H, Feng J, Han J. Comparative Study on Classification and Recognition of
Medical Images Using Deep Learning Network. Computer Science (in Chinese), about 2020-21, Tianjin Medical University.

Reading order: paper.toml, config.py, data.py, models.py (dbn.py, sgan.py), train.py, experiments.py, run.py.
"""
