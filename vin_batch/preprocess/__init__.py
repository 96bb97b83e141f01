"""From the bytes of one box crop to the 28x28 image that the classifier sees. Pure."""

from vin_batch.preprocess.pipeline import (
    IMAGE_SIDE,
    PREPROCESSING,
    preprocess_bytes,
    preprocess_image,
)

__all__ = ["IMAGE_SIDE", "PREPROCESSING", "preprocess_bytes", "preprocess_image"]
