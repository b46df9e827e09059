"""Replication of Kim et al. 2017: InceptionV4 with transfer learning on DDSM mammograms.

Kim M, Zuallaert J, De Neve W. Towards Novel Methods for Effective Transfer Learning and Unsupervised Deep Learning for Medical
Image Analysis. Doctoral Consortium, BIOSTEC 2017.
"""
