"""Building blocks of the models that are more than inner products, each drawing from its own rng.

Torch's own layers draw initial values and dropout from the global random stream; these take a
generator, so that a model's numbers depend on its seed and on nothing else.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from stages.collab.sections import Activation


def vector_table(n: int, dim: int, *, std: float, rng: torch.Generator) -> nn.Parameter:
    """Returns (n, dim) vectors drawn from a normal distribution around 0."""
    table = nn.Parameter(torch.empty(n, dim))
    nn.init.normal_(table, std=std, generator=rng)
    return table


def linear(n_in: int, n_out: int, rng: torch.Generator) -> nn.Linear:
    """Returns a layer with Glorot's initial weights and bias 0."""
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    nn.init.xavier_uniform_(layer.weight, generator=rng)
    nn.init.zeros_(layer.bias)
    return layer


class Dropout(nn.Module):
    """Sets elements to 0 with probability `rate` in training, and scales up the others."""

    def __init__(self, rate: float, rng: torch.Generator) -> None:
        """Takes the rate, in [0, 1), and the source of the choice of elements."""
        super().__init__()
        self._rate, self._rng = rate, rng

    def forward(self, x: Tensor) -> Tensor:
        """Returns the input, thinned out in training."""
        if not self.training or self._rate == 0:
            return x
        kept = torch.rand(x.shape, generator=self._rng) >= self._rate
        return x * kept / (1 - self._rate)


class Dice(nn.Module):
    """Data-adaptive activation: f(s) = p s + (1 - p) alpha s, p = sigmoid(standardised s).

    Deep Interest Network (Zhou et al. 2018), section 5.3, equation 4: a PReLU whose bend follows
    the inputs' mean and variance, of the batch in training and their running averages in use.
    """

    MOMENTUM = 0.1
    EPSILON = 1e-8

    def __init__(self, dim: int) -> None:
        """Starts with slopes 0 and a standard normal input."""
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(dim))
        self.mean: Tensor
        self.variance: Tensor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))

    def forward(self, s: Tensor) -> Tensor:
        """Returns (n, dim) activations of (n, dim) inputs."""
        mean, variance = self.mean, self.variance
        if self.training and len(s) > 1:  # one row has no variance
            variance, mean = torch.var_mean(s, dim=0, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.MOMENTUM)
                self.variance.lerp_(variance, self.MOMENTUM)
        p = torch.sigmoid((s - mean) * torch.rsqrt(variance + self.EPSILON))
        return s * (p + (1 - p) * self.alpha)


def perceptron(
    widths: list[int], *, activation: Activation, dropout: float, rng: torch.Generator
) -> nn.Sequential:
    """Returns layers of these widths, an activation and dropout between each two.

    Args:
        widths: of the input, of each hidden layer, and of the output.
        activation: Dice or PReLU.
        dropout: rate after each activation.
        rng: source of initial weights and of dropout.
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        bend = Dice(n_out) if activation == "dice" else nn.PReLU(n_out)
        layers += [linear(n_in, n_out, rng), bend, Dropout(dropout, rng)]
    return nn.Sequential(*layers[:-2])
