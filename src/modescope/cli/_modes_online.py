"""`modescope modes online`: how modes are learnt by a teacher, in theory and sample by sample."""

import sys
from pathlib import Path

import click

from modescope.cli._options import written


@click.command("online", short_help="How modes are learnt by a teacher: theory beside stochastic gradient descent.")
@click.option("--inputs", default=30, show_default=True, metavar="D", help="Inputs of the network.")
@click.option("--hidden", default=8, show_default=True, metavar="K", help="Hidden units.")
@click.option("--modes", default=3, show_default=True, metavar="P", help="Modes, at most as many as hidden units and inputs.")
@click.option("--eta", default=5.0, show_default=True, help="Learning rate.")
@click.option("--seed", default=1, show_default=True, help="Derives teacher, student and the inputs of the runs.")
@click.option("--until", default=1000.0, show_default=True, metavar="TIME", help="Last time, in samples over inputs.")
@click.option("--runs", default=3, show_default=True, help="Runs of stochastic gradient descent; 0 for the theory alone.")
@click.option("--points", default=80, show_default=True, help="Times, evenly spaced on a logarithmic axis.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@written()
def command(
    inputs: int,
    hidden: int,
    modes: int,
    eta: float,
    seed: int,
    until: float,
    runs: int,
    points: int,
    quiet: bool,
    format: str | None,
    json: bool,
    output: Path | None,
) -> int:
    """Teacher and student with frozen gains on white inputs: differential equations, and runs beside them.

    Shows the generalisation error, the correlation of each mode with its teacher's, and the stages of learning. The defaults are
    those of the published example. With `-o page.html` the result is a page.
    """
    import numpy as np

    from modescope.cli import INTERRUPTED
    from modescope.cli._progress import tasks
    from modescope.cli._write import check, chosen, write
    from modescope.errors import Interrupted, UsageError
    from modescope.modes.online.learning import learn
    from modescope.modes.online.theory import drawn

    check(output)
    form = "json" if json else chosen(format, output, "table")
    if seed < 0:
        raise UsageError(f"--seed: expected a number that is not negative, got {seed}.")
    theory = drawn(inputs, hidden, modes, eta, np.random.default_rng(seed))
    try:
        with tasks(quiet=quiet) as update:
            result = learn(theory, inputs=inputs, until=until, runs=runs, seed=seed, points=points, progress=update)
    except Interrupted as stop:
        write(stop.partial.report(), form, output)
        print("interrupted: the theory is whole, the runs are kept as far as they came.", file=sys.stderr)
        return INTERRUPTED
    write(result.report(), form, output)
    return 0
