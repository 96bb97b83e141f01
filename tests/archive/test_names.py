from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from vin_batch.archive.names import (
    box_number,
    card_id_of,
    is_image_name,
    lay_out,
    listing_digest,
    order_key,
    path_of,
)

file_names = st.lists(
    st.one_of(
        st.builds(
            lambda stem, number, suffix: f"{stem}{number}.{suffix}".encode(),
            st.sampled_from(["", "box_", "card345_", "scan-1_", "а"]),
            st.integers(0, 30),
            st.sampled_from(["png", "JPG", "tif"]),
        ),
        st.sampled_from([b"front.png", b"x.jpeg", b"007.bmp", b"7.png"]),
    ),
    unique=True,
    max_size=40,
)
components = (
    st.binary(min_size=1, max_size=12)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda name: name not in {b".", b".."})
)
relative_paths = st.lists(components, max_size=4).map(b"/".join)


def one_based() -> list[bytes]:
    return [b"%02d.png" % number for number in range(1, 18)]


def zero_based() -> list[bytes]:
    return [b"%d.png" % number for number in range(17)]


def test_last_number_of_the_stem_counts() -> None:
    assert box_number(b"01.png") == 1
    assert box_number(b"box_1.jpg") == 1
    assert box_number(b"card345_07.tif") == 7
    assert box_number(b"12_of_17 (copy).png") == 17
    assert box_number(b"front.jp2.png") == 2
    assert box_number(b"front.png") is None
    assert box_number("коробка_\u0663.png".encode()) is None, "only ASCII digits number boxes"
    assert box_number(b"9" * 200 + b".png") == int("9" * 200)


def test_image_suffixes_in_any_case() -> None:
    for name in (b"1.PNG", b"1.jpe", b"a.b.Tiff", b"1.WebP", b"1.bmp", b"1.jpeg"):
        assert is_image_name(name)
    for name in (b"png", b".png", b"1.txt", b"1.png.part", b"Thumbs.db", b"1"):
        assert not is_image_name(name)


def test_zero_based_numbering_is_recognised_per_card() -> None:
    assert lay_out(zero_based()).boxes == tuple(zero_based())
    assert lay_out(one_based()).boxes == tuple(one_based())


def test_a_zero_beside_seventeen_is_an_extra_box() -> None:
    layout = lay_out([b"0.png", *one_based()])
    assert layout.boxes == tuple(one_based())
    assert layout.extra == 1


def test_duplicates_give_no_evidence() -> None:
    layout = lay_out([*one_based(), b"3.jpg", b"box3.bmp"])
    assert layout.duplicates == {3}
    assert layout.boxes[2] is None
    assert layout.boxes[1] == b"02.png"
    assert layout.extra == 0


def test_eighteenth_and_unnumbered_images_are_extra() -> None:
    layout = lay_out([*one_based(), b"18.png", b"front.png"])
    assert layout.extra == 2
    assert None not in layout.boxes


def test_missing_boxes_are_none() -> None:
    layout = lay_out([b"01.png", b"17.png"])
    assert [index for index, name in enumerate(layout.boxes) if name] == [0, 16]


@given(file_names, st.randoms())
def test_every_file_has_one_fate_whatever_the_order(names: list[bytes], random: object) -> None:
    layout = lay_out(names)
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert lay_out(shuffled) == layout
    used = [name for name in layout.boxes if name]
    assert len(layout.boxes) == 17
    assert len(set(used)) == len(used)
    in_duplicates = len(names) - len(used) - layout.extra
    assert in_duplicates >= 2 * len(layout.duplicates)
    assert bool(in_duplicates) == bool(layout.duplicates)
    assert all(layout.boxes[position - 1] is None for position in layout.duplicates)


@given(file_names, st.randoms())
def test_listing_digest_depends_on_names_only(names: list[bytes], random: object) -> None:
    digest = listing_digest(names)
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert listing_digest(shuffled) == digest
    assert len(digest) == 16
    if names:
        assert listing_digest(names[1:]) != digest
        assert listing_digest([*names[1:], names[0] + b"x"]) != digest


@given(relative_paths)
@example(rb"a\xff")
@example(rb"\x5cxff")
@example(b"\xff/\xfe")
@example("1987/коробка 12/карта\u2028".encode())
@example(b"\xed\xa0\x80")
def test_card_ids_are_lossless_valid_unicode(path: bytes) -> None:
    card_id = card_id_of(path)
    card_id.encode("utf-8")
    assert path_of(card_id) == path


@given(relative_paths, relative_paths)
def test_card_ids_never_collide(left: bytes, right: bytes) -> None:
    assert (card_id_of(left) == card_id_of(right)) == (left == right)


def test_ordinary_unicode_names_stay_readable() -> None:
    assert card_id_of("1987/коробка_12/№ 5".encode()) == "1987/коробка_12/№ 5"
    assert card_id_of(rb"back\slash") == r"back\slash"
    assert card_id_of(b"") == "."


def test_order_is_that_of_a_depth_first_walk() -> None:
    paths = [b"", b"a", b"a/b", b"a b", b"a-b", b"b"]
    assert sorted([b"a b", b"b", b"a/b", b"a", b"", b"a-b"], key=order_key) == paths
