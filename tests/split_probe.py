"""One of two processes of test_processes.py: prints how much of each weight it holds, as JSON.

accelerate launch --config_file docs/accelerate/fsdp2.yaml -m tests.split_probe <folder of an LLM>
"""

import json
import sys
from pathlib import Path

from torch.distributed.tensor import DTensor

from stages.llm.adapters import add_adapter
from stages.llm.load import load_llm
from stages.llm.processes import processes
from stages.llm.score import score_prompts
from stages.llm.splitting import split_frozen

peers = processes()
whole = load_llm(Path(sys.argv[1]), precision="float32")
adapted = add_adapter(
    whole, rank=4, alpha=8, dropout=0.0, targets="all-linear", last_layers=None, seed=1
)
llm = split_frozen(adapted)
# Three prompts are three pieces of work for two processes.
score_prompts(llm, [f'Item: "{n}"\nAnswer:' for n in range(3)], token_budget=1, peers=peers)
held = {
    name: [p.to_local().numel() if isinstance(p, DTensor) else p.numel(), p.numel()]
    for name, p in llm.model.named_parameters()
}
if peers.rank == 0:
    print(json.dumps(held))
