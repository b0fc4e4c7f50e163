"""What a small add-on file changes in one weight, for every way such files say it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Parts = Mapping[str, Tensor]


def weight_change(parts: Parts, weight: Tensor, strength: float, rank: int | None = None) -> Tensor | None:
    """What to add to `weight` at that strength: float32, of its shape; None if the parts say nothing of a weight.

    `rank` keeps only the first so many components of a plain LoRA, at the scale of the whole, as A1111 does.
    `parts` are named as in kohya's and LyCORIS' files: lora_down/lora_up/lora_mid, hada_*, lokr_*, oft_blocks,
    diff, alpha, dora_scale. Raises ValueError or RuntimeError if their shapes do not fit.
    Sources: arXiv:2106.09685 (LoRA), 2108.06098 (LoHa), 2309.14859 (LoKr and names), 2402.09353 (DoRA),
    2306.07280 (OFT).
    """
    parts = {name: part.to(weight.device, torch.float32) for name, part in parts.items()}
    base = weight.float()
    if "oft_blocks" in parts:
        return (_rotated(parts, base) - base) * strength
    change = _low_rank(parts, rank)
    if change is None:
        return None
    if change.shape[:1] != base.shape[:1]:
        raise ValueError(f"a change of shape {tuple(change.shape)} for a weight of {tuple(base.shape)}")
    change = change.reshape(base.shape)
    if "dora_scale" in parts:
        return (_rescaled(base + change, parts["dora_scale"]) - base) * strength
    return change * strength


def bias_change(parts: Parts, strength: float) -> Tensor | None:
    """What to add to the bias; None if the parts say nothing of it."""
    return parts["diff_b"].float() * strength if "diff_b" in parts else None


def _low_rank(parts: Parts, rank: int | None) -> Tensor | None:
    if "diff" in parts:
        return parts["diff"]
    if "lora_down" in parts and "lora_up" in parts:
        down, up, middle = parts["lora_down"], parts["lora_up"], parts.get("lora_mid")
        scale = _scale(parts, down.shape[0])
        if rank is not None and middle is None:
            down, up = down[:rank], up[:, :rank]
        return _lora(down, up, middle) * scale
    if "hada_w1_a" in parts:
        return _hadamard(parts) * _scale(parts, parts["hada_w1_b"].shape[0])
    if "lokr_w1" in parts or "lokr_w1_a" in parts:
        return _kronecker(parts)
    return None


def _scale(parts: Parts, rank: int) -> float:
    return float(parts["alpha"]) / rank if "alpha" in parts else 1.0


def _lora(down: Tensor, up: Tensor, middle: Tensor | None) -> Tensor:
    if middle is not None:
        return torch.einsum("pr,rsij,sq->pqij", up.flatten(1), middle, down.flatten(1))
    if up.ndim == 4 and up.shape[2:] != (1, 1):
        return torch.einsum("prij,rq->pqij", up, down.flatten(1))
    return up.flatten(1) @ down.flatten(1)


def _hadamard(parts: Parts) -> Tensor:
    """Product, element by element, of two low-rank matrices."""
    if "hada_t1" in parts:
        return _tucker(parts, "hada_t1", "hada_w1_b", "hada_w1_a") * _tucker(
            parts, "hada_t2", "hada_w2_b", "hada_w2_a"
        )
    return (parts["hada_w1_a"] @ parts["hada_w1_b"]) * (parts["hada_w2_a"] @ parts["hada_w2_b"])


def _tucker(parts: Parts, core: str, right: str, left: str) -> Tensor:
    return torch.einsum("ijkl,jr,ip->prkl", parts[core], parts[right], parts[left])


def _kronecker(parts: Parts) -> Tensor:
    """Kronecker product of a small and a larger matrix, either of which may itself be of low rank."""
    rank = 0
    first, second = parts.get("lokr_w1"), parts.get("lokr_w2")
    if first is None:
        rank = parts["lokr_w1_b"].shape[0]
        first = parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if second is None:
        rank = parts["lokr_w2_b"].shape[0]
        if "lokr_t2" in parts:
            second = _tucker(parts, "lokr_t2", "lokr_w2_b", "lokr_w2_a")
        else:
            second = parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    if second.ndim == 4:
        first = first[..., None, None]
    # With two full matrices there is no rank, and alpha says nothing.
    return torch.kron(first, second.contiguous()) * (_scale(parts, rank) if rank else 1.0)


def _rescaled(weight: Tensor, magnitude: Tensor) -> Tensor:
    """`weight` with the given length of its rows, or of its columns if there is one magnitude an input."""
    of_inputs = magnitude.ndim > 1 and magnitude.shape[0] == 1 and weight.shape[0] != 1
    turned = weight.transpose(0, 1) if of_inputs else weight
    lengths = turned.flatten(1).norm(dim=1).clamp(min=torch.finfo(torch.float32).eps)
    factors = (magnitude.flatten() / lengths).reshape(-1, *[1] * (weight.ndim - 1))
    result = turned * factors
    return result.transpose(0, 1) if of_inputs else result


def _rotated(parts: Parts, weight: Tensor) -> Tensor:
    """`weight` with its outputs rotated block by block. `alpha` bounds the rotation, as kohya's trainer does."""
    blocks = parts["oft_blocks"]
    skew = blocks - blocks.transpose(1, 2)
    if "alpha" in parts and float(parts["alpha"]) > 0:
        size = skew.norm()
        bound = float(parts["alpha"]) * weight.shape[0]
        skew = skew * (size.clamp(max=bound) + 1e-8) / (size + 1e-8)
    count, side = blocks.shape[0], blocks.shape[1]
    identity = torch.eye(side, device=skew.device).expand_as(skew)
    rotation = torch.linalg.solve(identity - skew, identity + skew)
    return torch.einsum("kst,ktm->ksm", rotation, weight.reshape(count, side, -1)).reshape(weight.shape)
