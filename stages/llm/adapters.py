"""LoRA adapters: put a new one on the LLM, save, check and reload."""

import math
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import Linear
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from stages.io.damage import check_digests, damaged
from stages.io.errors import InputError
from stages.llm.card import llm_facts, name_base
from stages.llm.load import Llm, load_llm, quiet
from stages.llm.lora import fuse_lora, merge_lora
from stages.llm.params import Lora, Precision

WEIGHTS = "adapter_model.safetensors"


def add_adapter(
    llm: Llm,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    targets: list[str] | str,
    last_layers: int | None,
    seed: int,
) -> Llm:
    """Puts a new LoRA adapter on the LLM (Hu et al. 2022); before training it changes no score.

    Args:
        llm: the LLM without adapter.
        rank: r of the low-rank product.
        alpha: the product is scaled by alpha / rank.
        dropout: on the adapter's input, in training.
        targets: names of the adapted linear layers, or "all-linear".
        last_layers: adapt only the last n layers, so that no gradient goes below them; None = all.
        seed: of the adapter's random initialisation.

    Raises:
        InputError: the LLM has no such layers.
    """
    layers = llm.causal_lm.config.num_hidden_layers
    if last_layers is not None and last_layers > layers:
        raise InputError(
            f"train_lora.lora.last_layers = {last_layers}: the LLM has {layers} layers"
        )
    if targets == "all-linear":
        targets = linear_layers(llm)  # PEFT's own "all-linear" does not go with chosen layers
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=targets,
        layers_to_transform=None
        if last_layers is None
        else list(range(layers - last_layers, layers)),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    try:
        with quiet():
            model = get_peft_model(llm.model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise InputError(f"train_lora.lora.targets = {targets!r}: {error}") from None
    fuse_lora(model)
    return Llm(model, llm.tokenizer, llm.answer_ids, llm.device)


def load_for_training(folder: Path, precision: Precision, lora: Lora | None, seed: int) -> Llm:
    """Loads the LLM with a new adapter, or without one where there are no settings for it."""
    llm = load_llm(folder, precision=precision)
    return add_adapter(llm, **lora.model_dump(), seed=seed) if lora else llm


def linear_layers(llm: Llm) -> list[str]:
    """Returns the names of the linear layers below the head.

    Raises:
        InputError: there are none.
    """
    modules = llm.causal_lm.get_decoder().named_modules()
    names = sorted({name.split(".")[-1] for name, m in modules if isinstance(m, nn.Linear)})
    if not names:
        kind = llm.causal_lm.config.model_type
        raise InputError(f"llm.source: {kind!r} has no linear layers for an adapter to be put on")
    return names


def load_adapter(llm: Llm, folder: Path, *, trainable: bool = False) -> Llm:
    """Puts a saved adapter on the LLM: to train it further, or merged into the weights to score.

    Args:
        llm: the LLM without adapter.
        folder: what `store_adapter` wrote.
        trainable: False merges, so that a layer costs what it costs without an adapter.

    Raises:
        InputError: the folder holds no adapter, an empty or damaged one, or one for another LLM.
    """
    names = check_adapter(folder)
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # PEFT only warns of missing keys
            model = PeftModel.from_pretrained(
                llm.model, folder, is_trainable=trainable, autocast_adapter_dtype=False
            )
    except Exception as error:  # whatever the library raises, the cause is the files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{folder}: does not fit this LLM: {reason}") from None
    _refuse_half_used(model, names, folder)
    if not trainable:
        merge_lora(model)
        return Llm(model, llm.tokenizer, llm.answer_ids, llm.device)
    for parameter in trainable_parameters(model).values():
        parameter.data = parameter.data.to(llm.causal_lm.dtype)
    fuse_lora(model)
    return Llm(model, llm.tokenizer, llm.answer_ids, llm.device)


def store_adapter(llm: Llm, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Writes an adapter as PEFT does: `adapter_config.json`, `adapter_model.safetensors`.

    Args:
        llm: the LLM with the adapter; holds `weights` afterwards.
        weights: float32 tensors by parameter name.
        folder: where to; made if missing.
    """
    for name, parameter in trainable_parameters(llm.model).items():
        parameter.data = weights[name].to(parameter.device)
    assert isinstance(llm.model, PeftModel)  # else there are no weights to write
    config = cast(LoraConfig, llm.model.peft_config["default"])
    config.target_modules = sorted(
        config.target_modules or ()
    )  # a set: its order changes by process
    config.base_model_name_or_path = None  # the folder: PEFT would ask the Hub about a name
    llm.model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card, empty but for versions
    (folder / WEIGHTS).chmod(0o644)  # saved for its owner only
    name_base(folder / "adapter_config.json", llm_facts(Path(llm.causal_lm.name_or_path)))


def _refuse_half_used(model: PeftModel, names: Collection[str], folder: Path) -> None:
    """Refuses an adapter whose configuration leaves out tensors of its file, or all they say.

    PEFT warns of tensors that it misses, but not of those that it has no layer for.
    """
    known = {name.replace(".default.", ".") for name, _ in model.named_parameters()}
    unused = sorted(set(names) - known)
    if unused:
        raise InputError(
            f"{folder}: adapter_config.json adapts no layer for {unused[0]} and "
            f"{len(unused) - 1} more tensors of {WEIGHTS}"
        )
    layers = (layer for layer in model.modules() if isinstance(layer, Linear))
    for scale in (layer.scaling["default"] for layer in layers):
        if scale == 0 or not math.isfinite(scale):
            raise InputError(
                f"{folder}: adapter_config.json scales the adapter by {scale}; "
                "expected lora_alpha / r, a number other than 0"
            )


def check_adapter(folder: Path) -> set[str]:
    """Refuses an adapter that is missing, damaged, or whose product is zero: it changes nothing.

    Returns:
        The names of its tensors.

    Raises:
        InputError: no adapter file, one that is no longer as it was written, no tensors in it,
            numbers that are not finite, or all of the `lora_B` are zero.
    """
    check_digests(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro`")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, f"no safetensors file: {error}") from None
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.float()).all():
            raise InputError(f"{path}: {name} holds numbers that are not finite")
    if not any(tensor.float().any() for name, tensor in tensors.items() if "lora_B" in name):
        raise InputError(f"{path}: the adapter is empty ({len(tensors)} tensors, all lora_B zero)")
    return set(tensors)


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the adapter's tensors by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
