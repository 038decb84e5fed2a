"""Where the LLM computes, and in which precision."""

import torch

from stages.llm.params import Precision


def best_device() -> torch.device:
    """Returns the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def resolve_precision(precision: Precision, device: torch.device) -> torch.dtype:
    """Returns the type of the weights: bfloat16 only where it is multiplied natively.

    A CPU without AVX512_BF16 or AMX emulates bfloat16 and is slower with it than with float32.
    """
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32
