"""Coverage-guided fuzzing of what this package itself parses: headers, chunks, Exif, names.

    pip install 'atheris>=3,<4'
    PYTHONPATH=tests python -m fuzz.atheris_headers -max_total_time=300

Atheris sees the branches of Python code only, so that the decoders behind OpenCV are better
tried with ``fuzz_decoder``. Flags are those of libFuzzer; a crash is kept in the current folder.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["vin_batch"]):
    from vin_batch.archive.names import card_id_of, lay_out, path_of
    from vin_batch.export.spreadsheet import defuse, restore
    from vin_batch.preprocess.header import read_header
    from vin_batch.preprocess.lost_tail import has_lost_tail
    from vin_batch.preprocess.orientation import stored_orientation
    from vin_batch.preprocess.png import grey_transparency, without_extras


def one_input(data: bytes) -> None:
    """Try one input on everything that takes bytes from outside."""
    header = read_header(data)
    assert header is None or (header.width > 0 and header.height > 0)
    if header is not None:
        has_lost_tail(data)
        assert 1 <= stored_orientation(data) <= 8
        grey_transparency(data)
        assert len(without_extras(data)) <= len(data)
    path = data[:300].replace(b"\0", b"_").strip(b"/")
    card_id = card_id_of(path)
    assert path_of(card_id) == path or not path
    assert restore(defuse(card_id)) == card_id
    assert len(lay_out(path.split(b"/")).boxes) == 17


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
