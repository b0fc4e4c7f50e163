"""Quantiles of the symmetric beta distribution, without scipy."""

from __future__ import annotations

from math import asin, pi, sin

import numpy as np

NODES, SHARES = np.polynomial.legendre.leggauss(64)


def beta_quantile(share: float, shape: float) -> float:
    """The value that Beta(shape, shape) stays below with probability `share`, to about 1e-9.

    With x = sin(u)^2 the density becomes (sin u cos u)^(2 shape - 1), and the quantile a root in u, found by
    bisection. `shape` must be at least 0.5, or the density has poles that the integration does not see.
    """
    if shape < 0.5:
        raise ValueError(f"shape {shape} is below 0.5")
    if share <= 0 or share >= 1:
        return float(share > 0)
    if share > 0.5:
        return 1 - beta_quantile(1 - share, shape)
    wanted = share * 2 * _mass(pi / 4, shape)
    low, high = 0.0, pi / 4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _mass(middle, shape) < wanted else (low, middle)
    return sin((low + high) / 2) ** 2


def cumulative(value: float, shape: float) -> float:
    """The probability that Beta(shape, shape) stays below `value`, 0 to 0.5."""
    return _mass(asin(value**0.5), shape) / (2 * _mass(pi / 4, shape))


def _mass(end: float, shape: float) -> float:
    """Integral of (sin u cos u)^(2 shape - 1) over [0, end].

    u = end * v^4 makes the integrand smooth at 0 for the quadrature.
    """
    v = (NODES + 1) / 2
    u = end * v**4
    values = (np.sin(u) * np.cos(u)) ** (2 * shape - 1) * 4 * end * v**3
    return float(np.dot(SHARES, values) / 2)
