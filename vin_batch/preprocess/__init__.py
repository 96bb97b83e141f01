"""From the bytes of one box crop to the 28x28 image that the classifier sees. Pure."""

from vin_batch.preprocess.centre import IMAGE_SIDE
from vin_batch.preprocess.pipeline import PREPROCESSING, preprocess_bytes, preprocess_image

__all__ = ["IMAGE_SIDE", "PREPROCESSING", "preprocess_bytes", "preprocess_image"]
