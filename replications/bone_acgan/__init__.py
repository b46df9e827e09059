"""Replication of Yu et al. 2023: bone scans with MU-ACGAN oversampling and a multi-scale CNN.

Yu H, Luo R, Chen C, Tang X, Luo R. Bone scintigraphic classification method based on ACGAN and transfer learning.
Optics and Precision Engineering 2023;31(6):936-949 (in Chinese). doi 10.37188/OPE.20233106.0936
"""
