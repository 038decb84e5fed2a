"""The LLM: load it, read its last hidden states, its answers' logits, its embeddings."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from stages.io.damage import check_digests
from stages.io.errors import InputError
from stages.llm.attention import PACKED_ATTENTION
from stages.llm.hardware import best_device, resolve_precision
from stages.llm.packing import Batch, collate, group_rows
from stages.llm.params import Precision
from stages.llm.processes import weights_are_split
from stages.llm.soft_tokens import SoftTable, SoftTokens
from stages.llm.weights import require_all
from stages.prompts.tokenizer import ANSWERS, FIRST_SOFT_ID, answer_id, load_tokenizer, most_id


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


def load_llm(folder: Path, *, precision: Precision = "auto") -> Llm:
    """Loads the LLM that `fetch_llm` wrote, frozen; on the CPU where its weights will be split.

    Args:
        folder: safetensors, configuration and tokenizer.
        precision: type of the weights; `auto` chooses by what the hardware multiplies natively.

    Raises:
        InputError: the folder holds no LLM, or a damaged one, or weights that its configuration
            leaves out, its answers " Yes" and " No" are no single tokens, its tokenizer has ids
            beyond its embeddings, or its head is more than one matrix product.
    """
    check_digests(folder)
    dtype = resolve_precision(precision, best_device())
    device = torch.device("cpu") if weights_are_split() else best_device()
    tokenizer = load_tokenizer(folder)
    model = _load_model(folder, dtype)
    model.requires_grad_(False).eval()
    model.to(device)
    rows = model.get_input_embeddings().weight.shape[0]
    if most_id(tokenizer) >= rows:
        raise InputError(
            f"{folder}: its tokenizer gives ids up to {most_id(tokenizer)}, and the LLM has "
            f"embeddings for {rows} of them; they do not belong together"
        )
    answer_ids = torch.tensor([answer_id(tokenizer, answer) for answer in ANSWERS], device=device)
    llm = Llm(model, tokenizer, answer_ids, device)
    _pack_attention(llm, folder)
    return llm


def _load_model(folder: Path, dtype: torch.dtype) -> Any:
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:  # whatever the library raises, the cause is the files
        raise InputError(f"{folder}: no LLM: {error}") from None
    model, report = loaded
    require_all(report, folder)
    unused = sorted(report["unexpected_keys"])  # a configuration of fewer layers, say
    if unused:
        raise InputError(
            f"{folder}: config.json has no place for {unused[0]} and {len(unused) - 1} more of its "
            "weights"
        )
    return model


def model_inputs(llm: Llm, input_ids: Tensor) -> dict[str, Tensor]:
    """Returns what the model reads: the ids where all are words, else filled embeddings.

    Args:
        llm: the LLM, with `add_soft_tokens` where there are soft tokens.
        input_ids: token ids of any shape.
    """
    soft = input_ids >= FIRST_SOFT_ID
    if not soft.any():
        return {"input_ids": input_ids}
    embeddings = llm.causal_lm.get_input_embeddings()(input_ids.masked_fill(soft, 0))
    vectors = llm.model.get_submodule("soft_tokens")(input_ids[soft] - FIRST_SOFT_ID)
    return {"inputs_embeds": embeddings.index_put((soft,), vectors.to(embeddings.dtype))}


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
        InputError: it does, its layers know no such attention, or the LLM scales or caps its
            logits, so that two rows of its head are not enough.
    """
    ids = [llm.tokenizer(f"{word}. Answer:")["input_ids"] for word in ("One two", "One two three")]
    try:
        with torch.inference_mode():
            whole, alone = _row_by_row(llm, ids)
            llm.causal_lm.set_attn_implementation(PACKED_ATTENTION)
            batch = collate(group_rows(ids, ["", ""])).to(llm.device, llm.causal_lm.dtype)
            packed = last_hidden(llm, batch).float()
            ours = answer_logits(llm, alone)
    except Exception as error:  # each kind of model has its own way not to fit
        kind = llm.causal_lm.config.model_type
        raise InputError(f"{folder}: cannot attend to packed rows as {kind!r}: {error}") from None
    if not torch.allclose(whole, ours, rtol=1e-2, atol=2e-2):
        raise InputError(
            f"{folder}: answers have logits {whole.tolist()}, and {ours.tolist()} by the head's "
            "two rows; an LLM that scales or caps them is not supported"
        )
    drift = float(((packed - alone).norm(dim=1) / alone.norm(dim=1)).max())
    # Rounding to bfloat16 moves the states by up to 3 % in 30 layers, to float32 by 1e-6.
    if not drift <= (0.1 if llm.causal_lm.dtype.itemsize < 4 else 1e-3):
        raise InputError(
            f"{folder}: rows have other last hidden states by themselves than packed, by "
            f"{drift:.1%}; an LLM that has an attention of its own is not supported"
        )


def _row_by_row(llm: Llm, ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Computes rows by themselves, as the LLM does it.

    Returns:
        (rows, 2) logits of the answers and (rows, width) last hidden states, float32.
    """
    rows = [torch.tensor([row], device=llm.device) for row in ids]
    logits = [llm.causal_lm(row, use_cache=False).logits[0, -1] for row in rows]
    decoder = llm.causal_lm.get_decoder()
    states = [decoder(row, use_cache=False).last_hidden_state[0, -1] for row in rows]
    return torch.stack(logits)[:, llm.answer_ids].float(), torch.stack(states).float()


def embedding_width(llm: Llm) -> int:
    """Returns the length of the LLM's token embeddings."""
    return llm.causal_lm.get_input_embeddings().weight.shape[1]


def embedding_scale(llm: Llm) -> float:
    """Returns the root mean square of an element of the LLM's token embeddings."""
    weight = llm.causal_lm.get_input_embeddings().weight
    return weight.float().square().mean().sqrt().item()


def add_soft_tokens(llm: Llm, soft_tokens: SoftTokens) -> None:
    """Makes the vectors a part of the LLM, trained, kept and scored with it.

    To be called after an adapter is put on, since that freezes all that was there.
    """
    llm.model.register_module("soft_tokens", soft_tokens.to(llm.device))


def add_soft_table(llm: Llm, count: int, seed: int) -> None:
    """Puts `count` trainable soft tokens on the LLM, drawn by seed at its embeddings' scale."""
    rng = torch.Generator().manual_seed(seed)
    width, scale = embedding_width(llm), embedding_scale(llm)
    add_soft_tokens(llm, SoftTable(count, width=width, scale=scale, rng=rng))


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the libraries' progress bars and notices to their own developers out of our output."""
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers_logging.enable_progress_bar()
