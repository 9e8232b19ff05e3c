"""The data: verified, split as documented, and every kind of damage is named."""
import gzip
import hashlib
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import course_lib.data
from course_lib.data import MNIST_FILES, IdxError, load_mnist, parse_idx, read_idx

FILES = Path(course_lib.data.__file__).parent / "mnist_files"
PUBLISHED_MD5 = {  # of the uncompressed files
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb", "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea", "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637"}


@pytest.mark.parametrize("file", MNIST_FILES)
def test_files_are_the_published_ones(file):
    assert hashlib.md5(gzip.decompress((FILES / file).read_bytes())).hexdigest() == PUBLISHED_MD5[file]


def test_split():
    data, raw = load_mnist(), load_mnist(np.uint8)
    assert [len(a) for a in vars(data).values()] == [55_000, 55_000, 5_000, 5_000, 10_000, 10_000]
    assert data.X_train.dtype == np.float32 and data.y_train.dtype == np.int64
    assert data.X_train.flags.c_contiguous and data.X_train.max() == 1
    images = read_idx(FILES / "train-images-idx3-ubyte.gz").reshape(-1, 784)
    assert np.array_equal(raw.X_val, images[11::12]) and np.array_equal(raw.X_train[:11], images[:11])
    assert np.array_equal(data.X_test, raw.X_test / np.float32(255))


def test_wrong_dtype():
    with pytest.raises(ValueError, match="float64"):
        load_mnist(np.float64)


def idx(shape, data, magic=b"\0\0\x08"):
    return magic + bytes([len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + data


@pytest.mark.parametrize("raw, says", [
    (b"", "magic number at byte 0"), (b"\0\0\x08", "magic number at byte 0"), (idx((1,), b"a", b"\0\x01\x08"), "not an IDX file"),
    (idx((1,), b"a", b"\0\0\x0b"), "type code 0x0b at byte 2"), (b"\0\0\x08\x00", "0 dimensions at byte 3"), (b"\0\0\x08\x09" + b"\0" * 36, "9 dimensions at byte 3"),
    (b"\0\0\x08\x02\0\0\0\1", "ends at byte 8"), (idx((2, 2), b"abc"), "truncated at byte 15"), (idx((2,), b"abc"), "1 trailing bytes from byte 10"),
    (idx((2**32 - 1, 2**32 - 1, 2**32 - 1), b""), "truncated at byte 16"),
])
def test_broken_format(raw, says):
    with pytest.raises(IdxError, match=says) as error:
        parse_idx(raw, "some-file")
    assert "some-file" in str(error.value)


@pytest.mark.parametrize("damage, says", [
    (lambda b: b[:-1000], "SHA-256"), (lambda b: b + b"x", "SHA-256"), (lambda b: b[:500] + bytes([b[500] ^ 1]) + b[501:], "SHA-256"), (lambda b: b"", "SHA-256")])
def test_damaged_file(tmp_path, damage, says):
    for file in MNIST_FILES:
        shutil.copy(FILES / file, tmp_path)
    victim = tmp_path / "t10k-labels-idx1-ubyte.gz"
    victim.write_bytes(damage(victim.read_bytes()))
    with pytest.raises(IdxError, match=says) as error:
        load_mnist(folder=tmp_path)
    assert victim.name in str(error.value) and "reinstall" in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="reinstall"):
        load_mnist(folder=tmp_path)


def test_truncated_gzip(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx((2,), b"ab"))[:-6])
    with pytest.raises(IdxError, match="do not decompress"):
        read_idx(path)


def test_wheel_contains_the_data(root, tmp_path):
    """A wheel built from the tree holds the four files and every module, and nothing of the tests."""
    source = tmp_path / "source"
    shutil.copytree(root, source, ignore=lambda d, names: [n for n in names if n in (".git", ".venv", "_build", "_site", "build", "dist", "submitted") or n.endswith(".egg-info")])
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, source], check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("course_lib-*.whl"))).namelist()
    assert {f"course_lib/mnist_files/{f}" for f in MNIST_FILES} <= set(names)
    assert {p.relative_to(root).as_posix() for p in (root / "course_lib").rglob("*.py")} <= set(names)
    assert not [n for n in names if n.startswith(("tests", "solutions", "nbs"))]
