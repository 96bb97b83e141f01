"""Every specimen of the corpus becomes an image or an issue, in little time and memory."""

from __future__ import annotations

import numpy as np
import pytest

from box_crops import ink_of, overlap, plain_crop
from hostile.child import DecoderChild, Verdict
from hostile.corpus import FILES
from vin_batch.preprocess import preprocess_bytes, preprocess_image
from vin_batch.preprocess.decode import decode_grey
from vin_batch.records import BoxIssue

CROP = plain_crop(ink_of("R"))
UPRIGHT, _ = preprocess_image(CROP)


@pytest.fixture(scope="module")
def verdicts() -> dict[str, Verdict]:
    """What a process of its own makes of every specimen."""
    with DecoderChild() as child:
        made = (specimen.make(CROP) for specimen in FILES.values())
        return dict(zip(FILES, child.judge(made), strict=True))


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_becomes_what_it_must(name: str) -> None:
    specimen = FILES[name]
    image, issue = preprocess_bytes(specimen.make(CROP))
    assert issue is specimen.issue
    assert image.shape == (28, 28)
    assert image.dtype == np.uint8
    if issue is BoxIssue.NONE:
        assert overlap(UPRIGHT, image) > 0.85
    else:
        assert not image.any()


@pytest.mark.parametrize("name", FILES)
def test_it_costs_little_and_never_the_process(name: str, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[name]
    assert not verdict.defect
    assert verdict.issue == FILES[name].issue.name


@pytest.mark.parametrize("kind", [" alpha.png", ".png", ".tif", ".webp"])
def test_turned_pictures_are_the_upright_one_pixel_by_pixel(kind: str) -> None:
    pictures = [decode_grey(FILES[f"turned {n}{kind}"].make(CROP)) for n in range(1, 9)]
    assert not isinstance(pictures[0], BoxIssue)
    for picture in pictures[1:]:
        assert np.array_equal(picture, pictures[0])
        assert not isinstance(picture, BoxIssue)


def test_a_whole_file_may_end_in_zeros() -> None:
    """Black ink at the end of the pixels, padding behind a file, the paper of a negative."""
    black_edge = np.full((96, 128), 230, np.uint8)
    black_edge[:9] = 0
    for picture in (black_edge, 255 - black_edge, np.zeros((96, 128), np.uint8)):
        for name in ("png.jpg", "negative.bmp", "tiff.bmp", "jpeg.png", "upper case.PNG"):
            whole = FILES[name].make(picture)
            assert not isinstance(decode_grey(whole + bytes(4096 - len(whole) % 4096)), BoxIssue)
            assert not isinstance(decode_grey(whole), BoxIssue)
