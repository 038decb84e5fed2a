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
    base = layer.get_base_layer()
    a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
    return _LoraLinear.apply(x, base.weight, base.bias, a, b, layer.scaling[adapter])


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
            a, b = layer.lora_A[adapter].weight.float(), layer.lora_B[adapter].weight.float()
            base = cast(nn.Linear, layer.get_base_layer())
            weight = base.weight.float().addmm_(b, a, alpha=layer.scaling[adapter])
            base.weight.data = weight.to(base.weight.dtype)
            layer.forward = base.forward  # type: ignore[method-assign]
