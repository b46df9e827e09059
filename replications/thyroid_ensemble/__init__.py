"""Replication of Liang et al. 2020: benign and malignant thyroid nodules in B-mode ultrasound.

Liang J, Qiu T, Zhou A, Xu P, Xie X, Fu H. Ensemble of Multiscale Fine-Tuning Convolutional Neural Network for Recognition of
Benign and Malignant Thyroid Nodules. Journal of Computer-Aided Design & Computer Graphics, online first 2020-10-15 (in
Chinese). doi 10.3724/SP.J.1089.2020.18254

Reading order: paper.toml, config.py, data.py (sources/, rois.py), models.py (alexnet.py, weights.py), tasks.py, train.py,
baselines.py, rows.py, selection.py (ensemble.py), plans.py, experiments.py, figures.py, run.py, predict.py.
"""
