"""Float layers of the host have the same bits on every machine: sums and curves in a fixed order."""

from __future__ import annotations

import hashlib
from types import ModuleType

import numpy as np
import pytest

DIGESTS = {
    "exp": "3e3ea1fc2b6395ec",
    "log": "03a93c8696265bfc",
    "sigmoid": "6f1bf5b365fa1bb7",
    "softplus": "97d02dd40667dedf",
    "tanh": "46bbf1530f719655",
    "network": "e02d5a99860f585d",
}
"""SHA-256, its first 16 digits, of results, as any machine and any numpy computes them."""


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(array.astype("<f8").tobytes()).hexdigest()[:16]


def numbers(*shape: int) -> np.ndarray:
    """Numbers between -2 and 2 that no library's generator decides."""
    count = int(np.prod(shape))
    steps = (np.arange(count, dtype=np.int64) * 7919 + 104729) % 65521
    return ((steps - 32760) / 16384).astype(np.float32).reshape(shape)


def test_curves_are_those_of_mathematics(driver: ModuleType) -> None:
    """Up to two units in the last place of float64, from one end of the range to the other."""
    x = np.concatenate([np.linspace(-700, 700, 20001), np.linspace(-1, 1, 4001)])
    assert np.allclose(driver.exponential(x), np.exp(x), rtol=5e-16, atol=0)
    positive = np.concatenate([np.exp(np.linspace(-600, 600, 20001)), np.linspace(0.5, 2, 4001)])
    assert np.allclose(driver.logarithm(positive), np.log(positive), rtol=5e-16, atol=1e-16)
    ends = np.array([-np.inf, -1e4, 1e4, np.inf, np.nan])
    assert np.array_equal(driver.exponential(ends), [0, 0, np.inf, np.inf, np.nan], equal_nan=True)
    assert np.array_equal(driver.logarithm(np.array([0.0, -1.0])), [-np.inf, np.nan], equal_nan=True)
    tanh, sigmoid = (driver.TRANSCENDENT[name](x) for name in ("tanh", "sigmoid"))
    assert np.allclose(tanh, np.tanh(x), rtol=1e-12, atol=0)
    assert np.allclose(sigmoid, np.exp(-np.logaddexp(0, -x)), rtol=1e-13, atol=0)


def test_curves_have_these_bits(driver: ModuleType) -> None:
    x = numbers(5000).astype(np.float64) * 10
    found = {
        name: digest(curve(np.abs(x) if name == "log" else x)) for name, curve in driver.TRANSCENDENT.items()
    }
    assert found == {name: value for name, value in DIGESTS.items() if name != "network"}


def test_layers_have_these_bits(driver: ModuleType) -> None:
    """A convolution, batch norm, pool, dense layer and softmax."""
    window = (3, 3, 2, 1, 1, 1, 1, 0, 1, 0, 4, 5)
    program = driver.Program.chain(
        driver.Convolution(numbers(6, 2, 3, 3), numbers(6), 2, window),
        driver.Affine(numbers(6, 1, 1).astype(np.float64), numbers(6, 1, 1).astype(np.float64)),
        driver.Curve("tanh"),
        driver.Pool("mean", False, (2, 2, 1, 1, 1, 1, 1, 1, 0, 0, 4, 5)),
        driver.Reduce("mean", (2,), (6, 5)),
        driver.Reshape((30,)),
        driver.MatMul(numbers(30, 7)),
        driver.Softmax(1),
    )
    (found,) = program.run(numbers(3, 4, 7, 7))
    assert found.shape == (3, 7) and np.allclose(found.sum(axis=1), 1)
    assert digest(found) == DIGESTS["network"]
    arrays: dict[str, np.ndarray] = {}
    again = driver.read_program(program.written("x", arrays), arrays)
    assert again.run(numbers(3, 4, 7, 7))[0].tobytes() == found.tobytes()
    one = [program.run(frame[None])[0] for frame in numbers(3, 4, 7, 7)]
    assert np.concatenate(one).tobytes() == found.tobytes(), "a batch changes bits"


def test_thresholds_are_read_back(driver: ModuleType) -> None:
    """A bias of 0, which most have, is legal; a scale of 0 is not."""
    program = driver.Program.chain(driver.Thresholds(np.array([[0.5, 1.5]], np.float32), 1, 0.25, 0.0))
    arrays: dict[str, np.ndarray] = {}
    facts = program.written("x", arrays)
    (found,) = driver.read_program(facts, arrays).run(np.array([[0, 1, 2]], np.float32))
    assert found.tolist() == [[0, 0.25, 0.5]]
    facts["steps"][0]["scale"] = 0.0
    with pytest.raises(ValueError, match=r"scale of 0\.0; legal: finite numbers but 0"):
        driver.read_program(facts, arrays)
