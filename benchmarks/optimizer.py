"""What AdamW costs beside a step's products: `python -m benchmarks.optimizer`.

A step of three rows is short, so the optimizer counts. Weights and gradients of an adapter on all
linear layers of the LLM in `--llm`, in two ways that take turns, medians in milliseconds:

    tensor by tensor   each worker's bfloat16 gradients added to float32 ones, then PyTorch's AdamW
                       as it comes, clipping and copying back, on every tensor of the adapter
    one vector         `stages.llm.tune`: the same on one vector, fused

and their ratio. Single-threaded, as in training, where the threads compute pieces of the step.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.alternating import in_turn
from stages.io.errors import run_stage
from stages.io.params import load_section
from stages.llm.adapters import add_adapter, trainable_parameters
from stages.llm.load import Llm, load_llm
from stages.llm.params import TrainLora
from stages.llm.tune import AdapterOptimizer, views
from stages.llm.workers import PIECES

PEAK = 1e-4


def tensor_by_tensor(llm: Llm, pieces: list[list[Tensor]]) -> Callable[[], None]:
    """Returns a step on all tensors of the adapter, each by itself."""
    parameters = list(trainable_parameters(llm.model).values())
    masters = [parameter.detach().float().clone() for parameter in parameters]
    adamw = torch.optim.AdamW(masters, lr=PEAK)

    def step() -> None:
        gradients = [torch.zeros_like(master) for master in masters]
        for piece in pieces:
            torch._foreach_add_(gradients, [gradient.float() for gradient in piece])
        for master, gradient in zip(masters, gradients, strict=True):
            master.grad = gradient
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        adamw.step()
        with torch.no_grad():
            for parameter, master in zip(parameters, masters, strict=True):
                parameter.copy_(master)

    return step


def one_vector(llm: Llm, pieces: list[list[Tensor]]) -> Callable[[], None]:
    """Returns the step that training takes."""
    parameters = list(trainable_parameters(llm.model).values())
    optimizer = AdapterOptimizer(llm, PEAK, 0.0)
    size = sum(parameter.numel() for parameter in parameters)

    def step() -> None:
        gradient = torch.zeros(size)
        for piece in pieces:
            vector = torch.empty(size)
            torch._foreach_copy_(views(vector, parameters), piece)
            gradient += vector
        optimizer.step(gradient, 1.0)

    return step


def main() -> None:
    """Prints the median of each way and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--llm", type=Path, default=Path("models/llm"))
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    torch.set_num_threads(1)
    lora = load_section(TrainLora, "train_lora").lora
    llm = add_adapter(load_llm(args.llm, precision="bfloat16"), **lora.model_dump(), seed=1)
    shapes = list(trainable_parameters(llm.model).values())
    pieces = [[torch.randn_like(tensor) for tensor in shapes] for _ in range(PIECES)]
    steps = {
        "tensor by tensor": tensor_by_tensor(llm, pieces),
        "one vector": one_vector(llm, pieces),
    }
    medians = in_turn(steps, args.repeats)
    print(f"{len(shapes)} tensors, {sum(t.numel() for t in shapes):,} weights")
    for name, median in medians.items():
        print(f"{name:18} {1000 * median:8.1f} ms")
    print(f"ratio {medians['tensor by tensor'] / medians['one vector']:.1f}")


if __name__ == "__main__":
    run_stage(main)
