"""Runs in the peers' environment: one JSON order a line on stdin, one JSON answer a line on the real stdout."""

import contextlib
import json
import logging
import os
import sys
import time
import warnings

warnings.filterwarnings("ignore")
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what the tools print must not mix with the answers
sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for the life of the process


def weightwatcher_default(path):
    """From the file to the table, with the tool's own defaults."""
    from safetensors.torch import load_file
    from weightwatcher import WeightWatcher

    start = time.perf_counter()
    details = WeightWatcher(model=load_file(path)).analyze()
    return {"seconds": time.perf_counter() - start, "matrices": len(details)}


def weightwatcher_full(path):
    """The same with Marchenko-Pastur fit, randomised twin and the volume-preserving tail."""
    from safetensors.torch import load_file
    from weightwatcher import WeightWatcher

    start = time.perf_counter()
    details = WeightWatcher(model=load_file(path)).analyze(mp_fit=True, randomize=True, detX=True)
    return {"seconds": time.perf_counter() - start, "matrices": len(details)}


def weightwatcher_mp_fit(eigenvalues, n, m):
    """Its fit of the Marchenko-Pastur law to given eigenvalues, without a plot."""
    import numpy as np
    from weightwatcher import WeightWatcher

    watcher, values = WeightWatcher(), np.sort(np.array(eigenvalues))
    start = time.perf_counter()
    watcher.mp_fit(values, n, m, 1, "layer", 0, 0, False, False, None, "b", 1.0, True, values)
    return {"seconds": time.perf_counter() - start}


def powerlaw_fit(values):
    """The search of `powerlaw` for the start of the tail."""
    import numpy as np
    import powerlaw

    data = np.array(values)
    start = time.perf_counter()
    fit = powerlaw.Fit(data, verbose=0)
    xmin = float(fit.xmin)
    return {"seconds": time.perf_counter() - start, "xmin": xmin}


JOBS = {job.__name__: job for job in (weightwatcher_default, weightwatcher_full, weightwatcher_mp_fit, powerlaw_fit)}


def main():
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            with contextlib.redirect_stderr(sys.stdout):
                answer = JOBS[order.pop("job")](**order)
        except Exception as error:  # whatever a peer raises is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
