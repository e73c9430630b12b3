"""What a weight costs as modes and as it is: parameters, multiply-adds, and the number of modes at which nothing is gained."""

import math
from dataclasses import dataclass

SHARE, LEAST = 3, 8  # of `usual`


@dataclass(frozen=True)
class Cost:
    """Size of one weight (out, in), with kernels flattened into the inputs.

    Attributes:
        outputs: Rows of the weight.
        inputs: Columns of the weight.
        uses: Times the weight is applied for one sample: positions of a convolution, tokens of a sequence.
        frozen: Whether the strengths are fixed at 1, as in plain low rank, and cost nothing.
    """

    outputs: int
    inputs: int
    uses: float = 1.0
    frozen: bool = False

    @property
    def dense(self) -> int:
        """Parameters as it is."""
        return self.outputs * self.inputs

    @property
    def per_mode(self) -> int:
        """Parameters of one mode."""
        return self.outputs + self.inputs + (not self.frozen)

    def factored(self, p: int) -> int:
        """Parameters of p modes."""
        return p * self.per_mode

    def dense_flops(self) -> float:
        """Multiply-adds of a forward pass for one sample, as it is; the backward pass costs twice that."""
        return self.uses * self.dense

    def factored_flops(self, p: int) -> float:
        """Multiply-adds of a forward pass for one sample, as p modes."""
        return self.uses * self.factored(p)

    @property
    def break_even(self) -> float:
        """p* at which modes cost as much as the weight; from there on nothing is saved."""
        return self.dense / self.per_mode

    @property
    def most(self) -> int:
        """The largest number of modes that saves parameters and adds rank; 0 where none does."""
        return min(math.ceil(self.break_even) - 1, self.outputs, self.inputs)

    @property
    def usual(self) -> int | None:
        """Modes where "auto" chooses: a third of the break-even number, so a third of the parameters.

        None, so dense, where that is below 8: small layers cost little, and a narrow bottleneck there costs accuracy. Our own rule.
        """
        p = int(self.break_even / SHARE)
        return p if p >= LEAST else None
