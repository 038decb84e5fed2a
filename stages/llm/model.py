"""The LLM and its adapter: load, choose a precision, save, reload."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from stages.common.errors import InputError
from stages.llm.attention import PACKED_ATTENTION
from stages.llm.batching import Batch, collate, group_rows
from stages.llm.lora import fuse_lora, merge_lora
from stages.llm.processes import weights_are_split
from stages.llm.soft_tokens import model_inputs
from stages.llm.tokenizer import ANSWERS, answer_id, load_tokenizer

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class Llm:
    """A causal language model ready to score prompts.

    Attributes:
        model: the causal LM, with or without an adapter.
        tokenizer: its tokenizer.
        answer_ids: (2,) token ids of " Yes" and " No" as they stand after a prompt.
        device: where the model lies.
    """

    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    answer_ids: Tensor
    device: torch.device

    @property
    def causal_lm(self) -> Any:
        """The transformers model below the adapter, if there is one."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model


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


def load_llm(folder: Path, *, precision: Precision = "auto") -> Llm:
    """Loads the LLM that `fetch_llm` wrote, frozen; on the CPU where its weights will be split.

    Args:
        folder: safetensors, configuration and tokenizer.
        precision: type of the weights; `auto` chooses by what the hardware multiplies natively.

    Raises:
        InputError: the folder holds no LLM, its answers " Yes" and " No" are no single tokens, or
            its head is more than one matrix product.
    """
    dtype = resolve_precision(precision, best_device())
    device = torch.device("cpu") if weights_are_split() else best_device()
    tokenizer = load_tokenizer(folder)
    try:
        with _quiet():
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True
            )
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no LLM: {' '.join(str(error).split())}") from None
    model.requires_grad_(False).eval()
    model.to(device)  # type: ignore[arg-type]
    answer_ids = torch.tensor([answer_id(tokenizer, answer) for answer in ANSWERS], device=device)
    llm = Llm(model, tokenizer, answer_ids, device)
    _pack_attention(llm, folder)
    return llm


def last_hidden(llm: Llm, batch: Batch) -> Tensor:
    """Returns the (rows, width) last hidden states at each row's last token."""
    states = llm.causal_lm.get_decoder()(
        **model_inputs(llm, batch.input_ids),
        position_ids=batch.position_ids,
        blocks=batch.blocks,
        use_cache=False,
    ).last_hidden_state
    return states[0, batch.last]


def answer_logits(llm: Llm, hidden: Tensor) -> Tensor:
    """Applies the head's two rows for the answers, in float32.

    Args:
        llm: the model.
        hidden: (n, width) last hidden states at the scored positions.

    Returns:
        (n, 2) logits of " Yes" and " No".
    """
    head = llm.causal_lm.get_output_embeddings()
    logits = hidden.float() @ head.weight[llm.answer_ids].float().T
    if head.bias is not None:
        logits = logits + head.bias[llm.answer_ids].float()
    return logits


def _pack_attention(llm: Llm, folder: Path) -> None:
    """Has the LLM attend to packed groups, after seeing that this changes none of its logits.

    Raises:
        InputError: it does, or the LLM scales or caps its logits, so that two rows of its head are
            not enough.
    """
    ids = [llm.tokenizer(f"{word}. Answer:")["input_ids"] for word in ("One two", "One two three")]
    with torch.inference_mode():
        whole = torch.stack(
            [
                llm.causal_lm(torch.tensor([row], device=llm.device), use_cache=False).logits[0, -1]
                for row in ids
            ]
        )[:, llm.answer_ids].float()
        llm.causal_lm.set_attn_implementation(PACKED_ATTENTION)
        batch = collate(group_rows(ids, ["", ""])).to(llm.device, llm.causal_lm.dtype)
        ours = answer_logits(llm, last_hidden(llm, batch))
    if not torch.allclose(whole, ours, rtol=2e-2, atol=5e-2):
        raise InputError(
            f"{folder}: answers have logits {whole.tolist()} in rows by themselves and "
            f"{ours.tolist()} packed; an LLM that scales or caps them is not supported"
        )


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
        targets = _linear_layers(llm)  # PEFT's own "all-linear" does not go with chosen layers
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
        with _quiet():
            model = get_peft_model(llm.model, config, autocast_adapter_dtype=False)
    except ValueError as error:
        raise InputError(f"train_lora.lora.targets = {targets!r}: {error}") from None
    fuse_lora(model)
    return Llm(model, llm.tokenizer, llm.answer_ids, llm.device)


def _linear_layers(llm: Llm) -> list[str]:
    """Returns the names of the linear layers below the head."""
    modules = llm.causal_lm.get_decoder().named_modules()
    return sorted({name.split(".")[-1] for name, m in modules if isinstance(m, nn.Linear)})


def load_adapter(llm: Llm, folder: Path, *, trainable: bool = False) -> Llm:
    """Puts a saved adapter on the LLM: to train it further, or merged into the weights to score.

    Args:
        llm: the LLM without adapter.
        folder: what `store_adapter` wrote.
        trainable: False merges, so that a layer costs what it costs without an adapter.

    Raises:
        InputError: the folder holds no adapter, an empty one, or one for another LLM.
    """
    check_adapter(folder)
    try:
        with _quiet(), warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # PEFT only warns of missing keys
            model = PeftModel.from_pretrained(
                llm.model, folder, is_trainable=trainable, autocast_adapter_dtype=False
            )
    except (RuntimeError, ValueError, UserWarning) as error:
        raise InputError(f"{folder}: does not fit this LLM: {str(error).splitlines()[0]}") from None
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
    llm.model.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)  # PEFT's model card, empty but for versions


def check_adapter(folder: Path) -> None:
    """Refuses an adapter that is missing or whose product is zero: it would change nothing.

    Raises:
        InputError: no adapter file, no tensors in it, or all of the `lora_B` are zero.
    """
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        raise InputError(f"{path}: no such file; run `dvc repro`")
    tensors = load_file(path)
    if not any(tensor.abs().max() > 0 for name, tensor in tensors.items() if "lora_B" in name):
        raise InputError(f"{path}: the adapter is empty ({len(tensors)} tensors, all lora_B zero)")


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Returns the adapter's tensors by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the libraries' progress bars and notices to their own developers out of our output."""
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers_logging.enable_progress_bar()
