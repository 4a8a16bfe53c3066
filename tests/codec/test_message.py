"""A file of compressed images: whole or refused, by name; its size; and what is refused before it is written."""

import dataclasses
import hashlib

import numpy as np
import pytest
from chains import SPEC, VARIABLES, bits, chain, images

from jaxgen import codec
from jaxgen.codec import container, stack
from jaxgen.core import Spec

pytest.importorskip("constriction")
LATENTS = chain(2)


def decoded(path, latents=LATENTS, variables=VARIABLES, spec=SPEC, **options):
    read = codec.Read(path)
    codec.belongs(read, latents, variables, spec)
    out = np.zeros((read.header.num, *read.header.shape), np.uint8)
    codec.decompress(read, out, latents, variables, **options)
    return out


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("codec") / "images.jg"
    return path, codec.compress(path, images(300), LATENTS, VARIABLES, SPEC, environment={"jax": "1"})


def test_images_come_back_and_the_parts_of_the_size_add_up(file):
    path, found = file
    np.testing.assert_array_equal(decoded(path), images(300))
    assert found.size == path.stat().st_size and found.num == 300
    assert found.net_bits_per_dim * 1200 == pytest.approx(bits(images(300)), rel=0.01)
    assert found.bits_per_dim * 1200 == 8 * found.size
    assert found.initial <= 64  # the latents of one image, not of a batch
    assert codec.Read(path).header.environment == {"jax": "1"}


@pytest.mark.parametrize("num", [1, 2])
def test_few_images_come_back(num, tmp_path):
    codec.compress(tmp_path / "few", images(num), LATENTS, VARIABLES, SPEC, batch_size=2)
    np.testing.assert_array_equal(decoded(tmp_path / "few"), images(num))


def test_a_message_longer_than_what_is_in_memory_is_the_same(file, tmp_path, monkeypatch):
    monkeypatch.setattr(stack, "KEPT", 32)
    monkeypatch.setattr(container, "KEPT", 32)
    codec.compress(tmp_path / "long", images(300), LATENTS, VARIABLES, SPEC, environment={"jax": "1"})
    assert (tmp_path / "long").read_bytes() == file[0].read_bytes()
    np.testing.assert_array_equal(decoded(tmp_path / "long"), images(300))


def test_data_without_grey_levels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="spec must be of grey levels for a codec"):
        codec.compress(tmp_path / "none", images(2), LATENTS, VARIABLES, Spec(SPEC.event_shape))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("place", [8, 20, 300, 900, -70, -40, -1])
def test_a_changed_byte_is_refused(file, tmp_path, place):
    content = bytearray(file[0].read_bytes())
    content[place] ^= 1
    (tmp_path / "changed").write_bytes(content)
    with pytest.raises(ValueError, match=r"changed is damaged or cut short: its checksum does not fit"):
        codec.Read(tmp_path / "changed")


@pytest.mark.parametrize("size", [12, 30, 100, 500, -1])
def test_a_truncated_file_is_refused(file, tmp_path, size):
    (tmp_path / "cut").write_bytes(file[0].read_bytes()[:size])
    with pytest.raises(ValueError, match=r"cut is damaged or cut short"):
        codec.Read(tmp_path / "cut")


@pytest.mark.parametrize(
    ("start", "message"),
    [(b"", "got something else"), (b"PNG", "got something else"), (b"jaxgen\0\2", "must be of format 1, got one")],
)
def test_another_kind_of_file_is_refused(tmp_path, start, message):
    (tmp_path / "other").write_bytes(start + bytes(100) * bool(start))
    with pytest.raises(ValueError, match=message):
        codec.Read(tmp_path / "other")


def test_another_model_or_chain_is_refused(file):
    path, _ = file
    with pytest.raises(ValueError, match=r"was written with the model .*, got the model .*: take the run"):
        decoded(path, variables={"slope": np.float32(0.2)})
    for spec in (dataclasses.replace(SPEC, levels=17), dataclasses.replace(SPEC, event_shape=(4, 1, 1))):
        with pytest.raises(ValueError, match=r"holds images of shape \(2, 2, 1\) with 256 levels, the model's"):
            decoded(path, spec=spec)
    for latents in (chain(1), chain(2, width=2.0**-6)):
        with pytest.raises(ValueError, match=r"was written with another chain of latents"):
            decoded(path, latents)


@pytest.mark.parametrize("wrong", [0.01, 0.5])
def test_other_numbers_than_those_of_the_writer_are_found_out(file, wrong):
    """The same parameters and bins, but a program that computes something else, by little or by much."""
    with pytest.raises(ValueError, match=r"cannot be decoded here.*: jax 1 there, 2 here"):
        decoded(file[0], chain(2, wrong), environment={"jax": "2"})
    with pytest.raises(ValueError, match=r"both name the same versions"):
        decoded(file[0], chain(2, wrong), environment={"jax": "1"})


@pytest.mark.parametrize("num", [299, 301, 5])
def test_another_number_of_images_is_found_out_though_the_checksum_fits(file, tmp_path, num):
    content = file[0].read_bytes()[:-32].replace(b'"num":300', b'"num":%03d' % num)
    content = content.replace(b'"num":005', b'"num":  5')
    (tmp_path / "forged").write_bytes(content + hashlib.sha256(content).digest())
    with pytest.raises(ValueError, match=r"forged cannot be decoded here"):
        decoded(tmp_path / "forged")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (images(0), "images must be at least one, got none"),
        (images(3).astype(np.float32), r"images must be uint8 of shape \(2, 2, 1\), got float32"),
        (images(3)[:, :1], r"got uint8 of shape \(1, 2, 1\)"),
    ],
)
def test_images_of_another_kind_are_refused_and_nothing_is_written(tmp_path, x, message):
    with pytest.raises(ValueError, match=message):
        codec.compress(tmp_path / "file", x, LATENTS, VARIABLES, SPEC)
    assert not list(tmp_path.iterdir())


def test_values_beyond_the_levels_are_refused(tmp_path):
    spec = dataclasses.replace(SPEC, levels=17)
    with pytest.raises(ValueError, match=r"images must have values below 17, got \d+ in one from number 0 on"):
        codec.compress(tmp_path / "file", images(3), LATENTS, VARIABLES, spec)
