"""Arrays come in through one door: what numpy writes is read, what is broken or too large is one line."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bnn2fpga.errors import ConfigError, ModelError
from bnn2fpga.files.arrays import read_arrays

KINDS = hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.unicode_string_dtypes()
ARRAYS = st.dictionaries(
    st.text("abc/_1", min_size=1, max_size=6),
    hnp.arrays(
        st.one_of(
            hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.floating_dtypes(), hnp.unicode_string_dtypes()
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    max_size=4,
)


@settings(max_examples=100, deadline=None)
@given(ARRAYS, st.booleans(), st.booleans())
def test_what_numpy_writes(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray], packed: bool, fortran: bool
) -> None:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    if fortran:
        arrays = {name: np.asfortranarray(array) for name, array in arrays.items()}
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    found = read_arrays(path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_an_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.eye(3))
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npy")[""], np.eye(3))


def header(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """Of an .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue()


def archived(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)
    return path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header((10**12, 784)), r"shape \(1000000000000, 784\) and type float64 in \d+ bytes"),
        (header((2**33, 2**33), "|u1"), "shape"),
        (header((-1, 4)) + bytes(8), "shape"),
        (header((2,)) + bytes(15), "shape"),
        (header((2,), "|O") + bytes(16), "type object; legal: numbers and text"),
        (b"not numpy's", "magic"),
        (b"", "magic"),
    ],
)
def test_broken_arrays(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    for path in (tmp_path / "a.npy", archived(tmp_path / "a.npz", content)):
        with pytest.raises(ConfigError, match=message):
            read_arrays(path)


def test_a_file_that_grows_beyond_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnn2fpga.files.arrays.MOST", 1000)
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(10_000))
    with pytest.raises(ModelError, match=r"its arrays take 8\.0e\+04 bytes, 1\.0e\+03 at most are read"):
        read_arrays(tmp_path / "a.npz", ModelError)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Any byte changed or any end cut off: the arrays, or one line."""
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    np.savez_compressed(path, images=np.arange(40).reshape(2, 20), labels=np.arange(2))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content[: data.draw(st.sampled_from([len(content), place]))])
    try:
        read_arrays(path)
    except ConfigError as error:
        assert "\n" not in str(error)
