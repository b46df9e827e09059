"""Replication of Liang et al. 2020: benign and malignant thyroid nodules in B-mode ultrasound.

Liang J, Qiu T, Zhou A, Xu P, Xie X, Fu H. Ensemble of Multiscale Fine-Tuning Convolutional Neural Network for Recognition of
Benign and Malignant Thyroid Nodules. Journal of Computer-Aided Design & Computer Graphics, online first 2020-10-15 (in
Chinese). doi 10.3724/SP.J.1089.2020.18254
"""
