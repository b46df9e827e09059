"""Replication of a technical report of 2018: WHO grade of gliomas from InceptionV3 bottleneck features.

yooongchun. CNN transfer learning example: grading of particular tumour images. Technical report, 2018 (in Chinese), GitHub
repository yooongchun/Inception_based_CNN_model, commit 4d060a2.
"""
