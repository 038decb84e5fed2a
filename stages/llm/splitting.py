"""Frozen weights split among processes, for an LLM that one GPU cannot hold (FSDP2, ZeRO stage 3).

Each process keeps its share of every decoder layer and gathers the layer for as long as it computes
with it. Embeddings, head and adapter stay whole: the adapter's gradients are summed as ever.
"""

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from stages.io.errors import InputError
from stages.llm.hardware import best_device
from stages.llm.load import Llm
from stages.llm.processes import weights_are_split


def split_frozen(llm: Llm) -> Llm:
    """Splits the decoder layers' frozen weights among the processes, if that was asked for.

    Args:
        llm: the LLM with its adapter, still on the CPU.

    Returns:
        The LLM on its device; all processes must run it equally often.

    Raises:
        InputError: the LLM has no list of decoder layers.
    """
    if not weights_are_split():
        return llm
    device = best_device()
    decoder = llm.causal_lm.get_decoder()
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise InputError(f"split_weights: {type(decoder).__name__} has no list `layers` to split")
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    whole = {p for p in decoder.parameters() if p.requires_grad}
    for layer in layers:
        fully_shard(layer, mesh=mesh, ignored_params=whole)
    inside = {p for layer in layers for p in layer.parameters()}
    whole |= {p for p in decoder.parameters() if p not in inside}
    fully_shard(decoder, mesh=mesh, ignored_params=whole)
    llm.model.to(device)
    return Llm(llm.model, llm.tokenizer, llm.answer_ids.to(device), device)
