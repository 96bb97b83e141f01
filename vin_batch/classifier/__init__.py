"""Classifier: the model card, the engines that compute it, the alphabets."""
