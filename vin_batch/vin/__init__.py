"""The VIN itself: alphabet, check digit, makers, prior, exact decoder, verdict."""
