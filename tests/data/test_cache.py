"""What is decoded once: believed only whole, of this version and made from these files."""

import io
import warnings

import numpy as np
import pytest

from jaxgen.data import cache

ARRAYS = {"x": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "label": np.array([3, 1], np.int32)}


buffer = io.BytesIO()
np.save(buffer, np.zeros(3))
NPY = buffer.getvalue()


class Decoder:
    """Counts how often it is asked."""

    calls = 0

    def __call__(self):
        self.calls += 1
        return ARRAYS


def assert_whole(arrays):
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)
        assert arrays[name].dtype == array.dtype


def test_the_second_time_nothing_is_decoded(tmp_path):
    path, decode = tmp_path / "new" / "a.npz", Decoder()
    for _ in range(3):
        assert_whole(cache.cached(path, "source", decode))
    assert decode.calls == 1
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def one_bit(path):
    content = bytearray(path.read_bytes())
    content[content.index(ARRAYS["x"].tobytes())] ^= 1
    path.write_bytes(content)


def other_arrays(path):
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **{**content, "label": np.array([3, 2], np.int32)})


DAMAGE = {
    "half written": (half, "is made anew: "),
    "empty": (lambda path: path.write_bytes(b""), "is made anew: "),
    "text": (lambda path: path.write_text("no arrays"), "is made anew: "),
    "array": (lambda path: path.write_bytes(NPY), "is made anew: "),
    "other file": (lambda path: np.savez(path, x=np.zeros(3)), "is made anew: .*format"),
    "one bit": (one_bit, "is made anew: "),
    "other arrays": (other_arrays, "is made anew: its digest is not that of its arrays"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_cache_is_made_anew_with_a_warning(tmp_path, case):
    path, decode = tmp_path / "a.npz", Decoder()
    cache.cached(path, "source", decode)
    damage, message = DAMAGE[case]
    damage(path)
    with pytest.warns(UserWarning, match=message):
        assert_whole(cache.cached(path, "source", decode))
    assert_whole(cache.cached(path, "source", decode))
    assert decode.calls == 2


def test_any_flipped_byte_is_noticed_or_harmless(tmp_path):
    """Of the headers as well: numpy and zipfile then raise nearly anything, from a MemoryError to a TokenError."""
    path, decode = tmp_path / "a.npz", Decoder()
    cache.cached(path, "source", decode)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in rng.integers(0, len(whole), 150):
            content = bytearray(whole)
            content[place] ^= 1 << rng.integers(0, 8)
            path.write_bytes(content)
            assert_whole(cache.cached(path, "source", decode))
    assert decode.calls > 50


def test_what_runs_out_of_memory_is_made_anew(tmp_path, monkeypatch):
    def out_of_memory(*_):
        raise MemoryError

    path, decode = tmp_path / "a.npz", Decoder()
    cache.cached(path, "source", decode)
    monkeypatch.setattr(cache, "_read", out_of_memory)
    with pytest.warns(UserWarning, match="is made anew: MemoryError"):
        assert_whole(cache.cached(path, "source", decode))


def test_a_cache_of_another_version_or_of_other_files_is_made_anew(tmp_path, monkeypatch):
    path, decode = tmp_path / "a.npz", Decoder()
    cache.cached(path, "source", decode)
    with pytest.warns(UserWarning, match="made from other files"):
        assert_whole(cache.cached(path, "other source", decode))
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    with pytest.warns(UserWarning, match="its format is 1, not 2"):
        assert_whole(cache.cached(path, "other source", decode))
    assert decode.calls == 3


def test_whoever_is_stopped_while_writing_leaves_what_there_was(tmp_path, monkeypatch):
    path, decode = tmp_path / "a.npz", Decoder()
    cache.cached(path, "source", decode)
    before = path.read_bytes()

    def stopped(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patched.setattr(np, "savez", stopped)
        with pytest.raises(KeyboardInterrupt):
            cache.cached(path, "other source", decode)
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]
    assert path.read_bytes() == before


def test_without_a_place_to_write_there_is_a_warning_and_the_arrays(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="nothing was cached, set JAXGEN_CACHE_DIR to a folder that can be written"):
        assert_whole(cache.cached(tmp_path / "file" / "a.npz", "source", Decoder()))


def test_the_folder_is_the_argument_or_the_environment_or_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGEN_CACHE_DIR", str(tmp_path / "ours"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.folder(tmp_path / "argument") == tmp_path / "argument"
    assert cache.folder(None) == tmp_path / "ours"
    monkeypatch.delenv("JAXGEN_CACHE_DIR")
    assert cache.folder(None) == tmp_path / "xdg" / "jaxgen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder(None) == tmp_path / "home" / ".cache" / "jaxgen"
