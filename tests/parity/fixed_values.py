"""Values that both sides of a comparison make for themselves: exact in integers, so equal in Python and JavaScript."""

import numpy as np


def mix(index: np.ndarray, seed: int) -> np.ndarray:
    """A 32-bit hash of each index (the finaliser of MurmurHash3 over index * golden ratio + seed)."""
    with np.errstate(over="ignore"):
        value = index.astype(np.uint32) * np.uint32(0x9E3779B1) + np.uint32(seed)
        value ^= value >> np.uint32(16)
        value *= np.uint32(0x85EBCA6B)
        value ^= value >> np.uint32(13)
        value *= np.uint32(0xC2B2AE35)
        value ^= value >> np.uint32(16)
    return value


def fixed_weights(size: int, seed: int, deviation: float) -> np.ndarray:
    """float32 values, uniform with mean 0 and about this standard deviation."""
    unit = mix(np.arange(size, dtype=np.uint32), seed).astype(np.float64) / 2**32 - 0.5
    return (unit * (deviation * 4)).astype(np.float32)


def project(values: np.ndarray, count: int) -> list[float]:
    """The norm, then `count` (at most 32) sums of the values with signs of their own.

    The squared difference of two tensors' projections has the squared norm of the tensors' difference as its mean, so a
    few sums stand for the whole tensor.
    """
    flat = values.astype(np.float64).ravel()
    bits = mix(np.arange(flat.size, dtype=np.uint32), 0)
    sums = []
    for bit in range(count):
        negative = (bits >> np.uint32(bit)) & np.uint32(1)
        sums.append(float(flat.sum() - 2 * flat[negative == 1].sum()))
    return [float(np.linalg.norm(flat)), *sums]
