"""LoRA layers of PEFT, computed without intermediate tensors.

PEFT multiplies, scales and adds in steps that each pass over a tensor of the layer's width; here
both low-rank products are added in place to the frozen layer's, forward and backward.
"""

from functools import partial
from typing import Any, cast

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn


class _LoraLinear(torch.autograd.Function):
    """y = x W' + bias + s (x A') B' (Hu et al. 2022, equation 3), with W and bias frozen."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, s: float
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ a.T
        out = nn.functional.linear(rows, weight, bias).addmm_(low, b.T, alpha=s)
        ctx.save_for_backward(rows, weight, a, b, low)
        ctx.s = s
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        rows, weight, a, b, low = ctx.saved_tensors
        dy = grad.reshape(-1, grad.shape[-1])
        d_low = (dy @ b).mul_(ctx.s)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = (dy @ weight).addmm_(d_low, a).view(*grad.shape[:-1], -1)
        return dx, None, None, d_low.T @ rows, (dy.T @ low).mul_(ctx.s), None


def _forward(layer: Linear, adapter: str, x: Tensor) -> Tensor:
    base, a, b = _parts(layer, adapter)
    return _LoraLinear.apply(x, base.weight, base.bias, a, b, layer.scaling[adapter])


def _parts(layer: Linear, adapter: str) -> tuple[nn.Linear, Tensor, Tensor]:
    """Returns the frozen layer, A (rank, in) and B (out, rank)."""
    base = cast(nn.Linear, layer.get_base_layer())
    a, b = (cast(nn.Linear, part[adapter]) for part in (layer.lora_A, layer.lora_B))
    return base, a.weight, b.weight


def fuse_lora(model: nn.Module, adapter: str = "default") -> None:
    """Has every LoRA layer without dropout compute in place; parameters and names stay PEFT's."""
    for layer in model.modules():
        if isinstance(layer, Linear) and isinstance(layer.lora_dropout[adapter], nn.Identity):
            layer.forward = partial(_forward, layer, adapter)  # type: ignore[method-assign]


def merge_lora(model: nn.Module, adapter: str = "default") -> None:
    """Adds every LoRA product to its frozen layer for good: W + s B A, rounded once.

    Layers then cost what they cost without an adapter.
    """
    for layer in model.modules():
        if isinstance(layer, Linear):
            base, a, b = _parts(layer, adapter)
            product = b.float() @ a.float() * layer.scaling[adapter]
            base.weight.data = (base.weight.float() + product).to(base.weight.dtype)
            layer.forward = base.forward  # type: ignore[method-assign, assignment]
