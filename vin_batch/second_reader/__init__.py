"""A second, independent reader: like the second clerk of double keying.

``canvas`` shows it a raw box crop, ``recogniser`` lets it read, ``ctc`` turns what it says
into a score for every character, ``evidence`` makes calibrated log-probabilities of the
scores and joins them with those of the first reader, and ``parameters`` keeps how.
"""
