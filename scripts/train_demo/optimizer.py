"""Muon for matrices and convolutions, AdamW for the rest."""

from collections import defaultdict

import torch
from torch import nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 3  # enough to lift all but the faintest directions
MOMENTUM = 0.95
EPSILON = 1e-7


def build_optimizer(network: nn.Module, learning_rate: float) -> "MuonAdamW":
    """The optimizer over every trainable weight; embeddings and the outermost layers go to AdamW."""
    embeddings = {id(module.weight) for module in network.modules() if isinstance(module, nn.Embedding)}
    matrices, others = [], []
    for parameter in network.parameters():
        if parameter.requires_grad:
            narrow = parameter.ndim < 2 or min(parameter.shape[0], parameter[0].numel()) < 16
            (others if narrow or id(parameter) in embeddings else matrices).append(parameter)
    groups = [{"params": matrices, "muon": True}, {"params": others, "muon": False}]
    return MuonAdamW([group for group in groups if group["params"]], learning_rate)


class MuonAdamW(torch.optim.Optimizer):
    """Both rules with one learning rate: Muon's step is scaled to the size of a typical AdamW step.

    Sources: Jordan et al., "Muon" (2024); Liu et al., arXiv:2502.16982 (the scale 0.2).
    """

    def __init__(self, groups: list[dict], learning_rate: float) -> None:
        super().__init__(groups, {"lr": learning_rate, "weight_decay": 0.01, "betas": (0.9, 0.99), "muon": False})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step on the gradients at hand."""
        for group in self.param_groups:
            with_gradient = [parameter for parameter in group["params"] if parameter.grad is not None]
            torch._foreach_mul_(with_gradient, 1 - group["lr"] * group["weight_decay"])
            (self._muon if group["muon"] else self._adam)(group, with_gradient)

    def _muon(self, group: dict, parameters: list[nn.Parameter]) -> None:
        by_shape = defaultdict(list)
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
            ahead = parameter.grad.lerp(state["momentum"], MOMENTUM)
            by_shape[(parameter.shape[0], parameter[0].numel())].append((parameter, ahead))
        for (rows, columns), pairs in by_shape.items():
            stacked = torch.stack([ahead.reshape(rows, columns) for _, ahead in pairs])
            scale = 0.2 * max(rows, columns) ** 0.5
            for (parameter, _), update in zip(pairs, orthogonal(stacked), strict=True):
                parameter.add_(update.reshape(parameter.shape), alpha=-group["lr"] * scale)

    def _adam(self, group: dict, parameters: list[nn.Parameter]) -> None:
        first, second = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = torch.zeros(())
                state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["step"] += 1
            count = float(state["step"])
            state["mean"].lerp_(parameter.grad, 1 - first)
            state["square"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
            spread = (state["square"] / (1 - second**count)).sqrt_().add_(1e-8)
            parameter.addcdiv_(state["mean"], spread, value=-group["lr"] / (1 - first**count))


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest (half-)orthogonal matrix of each, roughly, by Newton-Schulz steps: `(n, rows, columns)`."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + EPSILON)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).float()
