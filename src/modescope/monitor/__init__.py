"""Watch a training live: the modes of a model every n steps, within a stated share of the training's time."""

import logging
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from modescope.errors import UsageError
from modescope.monitor import loggers as scalars
from modescope.monitor.model import settle, untouched, unwrapped
from modescope.monitor.pace import Cost, Pace
from modescope.result import Scan
from modescope.scanning import scan
from modescope.store import Store
from modescope.store import check as check_name
from modescope.store.queries import connected

PASSED = 10  # wishes in a row that the budget did not allow, after which the observer says so
FAILED = 3  # observations in a row that failed, after which it stops

_log = logging.getLogger(__name__)


class Recorder(Protocol):
    """What keeps observations: a `Store`, or anything with its `append`."""

    def append(self, scan: Scan, *, run: str, step: int | None = None) -> None:
        """Keep one observation of one run."""


class Monitor:
    """Observes a live model every n steps, records each observation, and keeps what that costs within a share of training time.

    An observation is a `scan` of the model at exactly one step: the training waits for it. The model is only read: weights,
    gradients, modes, devices and random streams are what they would be without. It is taken at multiples of `every`, the first one
    at the start whatever it costs; each further one only when all of them, with this one at half more than the dearest of the last
    five, stay within `budget` times the training time so far. What does not fit is left out until the next multiple, so that the
    interval grows by itself. Where reading or recording fails the training goes on, and the log of "modescope.monitor" says so.

    Example:
        >>> with ms.Monitor(model, "runs", every=50, budget=0.02) as monitor:  # doctest: +SKIP
        ...     for batch in loader:
        ...         train(model, batch)
        ...         monitor.step()

    Attributes:
        run: Name of the run in the store.
    """

    def __init__(
        self,
        model: Any,
        store: str | Path | Recorder,
        *,
        run: str | None = None,
        every: int = 100,
        budget: float = 0.02,
        include: str | Sequence[str] = (),
        exclude: str | Sequence[str] = (),
        kind: str | Sequence[str] = (),
        min_dim: int = 1,
        view: str | None = None,
        level: float = 0.01,
        seed: int = 0,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        workers: int | None = None,
        final: bool = True,
        loggers: Sequence[Any] = (),
        on_record: Callable[[Scan, int], object] | None = None,
    ) -> None:
        """Set up an observer; the training has not begun.

        Args:
            model: An `nn.Module`, also inside DistributedDataParallel, DeepSpeed or torch.compile; then names are those inside.
            store: A folder, or an opened `Store`.
            run: Name of the run, by default the time in UTC and four random digits.
            every: Steps from one wished observation to the next.
            budget: Observing time over training time, at most; `math.inf` takes every observation.
            include: As for `scan`, like all options up to `workers`; fewer matrices, cheaper observations.
            exclude: Globs on tensor names.
            kind: Layer kinds.
            min_dim: Smallest short side of a matrix.
            view: A named view for the kinds that offer it.
            level: Probability that a network of pure noise shows any signal mode.
            seed: Derives every random twin.
            options: Options of measures by name.
            workers: Threads, by default one per processor.
            final: Observe once more on leaving, after the last step; its time is reported by itself and is not in the share.
            loggers: Objects with `add_scalar(tag, value, step)` (TensorBoard) or `log(dict, step=)` (Weights & Biases).
            on_record: Called with scan and step after each observation; its time counts as observing.

        Raises:
            UsageError: An option that does not exist, or a value out of range.
        """
        if every < 1:
            raise UsageError(f"every: expected a number of steps of 1 or more, got {every}.")
        if not budget > 0:
            raise UsageError(f"budget: expected a share of training time above 0, 0.02 for 2 %, got {budget}.")
        if run is not None:
            check_name(run, None)
        common: dict[str, Any] = {"view": view, "level": level, "seed": seed, "options": options, "workers": workers}
        self._options = common | {"include": include, "exclude": exclude, "kind": kind, "min_dim": min_dim}
        _check(common, self._options)
        self.run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}" if run is None else run
        self._model = unwrapped(model)
        self._store = _opened(store)
        self._every, self._final = every, final
        self._loggers, self._on_record = scalars.check(loggers), on_record
        self._pace = Pace(budget)
        self._step = self._steps = 0
        self._closed = False
        self._observed: list[int] = []
        self._passed = self._failures = 0
        self._said: set[object] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:  # whoever broke off waits for nothing more
            self._closed = True
            self._pace.stop()

    @property
    def observed(self) -> tuple[int, ...]:
        """Steps that were recorded, in order."""
        return tuple(self._observed)

    @property
    def cost(self) -> Cost:
        """What observing has cost so far."""
        return self._pace.cost

    def start(self, step: int = 0) -> Scan | None:
        """Start the clock and observe the model before its first step; while the clock runs, do nothing.

        Args:
            step: Steps done already, where a training is resumed.
        """
        if self._pace.running:
            return None
        step = index(step)  # of NumPy or a tensor, too
        self._closed = False
        self._step = step
        self._pace.run()
        if step in self._observed or not self._pace.affords():
            return None
        return self._observe(step)

    def step(self, n: int | None = None) -> Scan | None:
        """Say that a training step is done.

        Args:
            n: Its number, by default one more than the last. A number that does not grow is no step (a batch whose gradients only
                accumulate), and after `close` there is none until `start`.

        Returns:
            The observation, where one was taken and recorded.
        """
        step = self._step + 1 if n is None else index(n)
        if self._closed:
            return None
        if not self._pace.running:
            return self.start(step)
        if step <= self._step:
            return None
        due = step // self._every > self._step // self._every
        self._steps += step - self._step
        self._step = step
        if not due:
            return None
        if not self._pace.affords():
            self._passed += 1
            if self._passed == PASSED:
                self._say_late()
            return None
        self._passed = 0
        return self._observe(step)

    def close(self) -> Scan | None:
        """Stop the clock; observe the model after its last step, unless that was done or `final` is off.

        Returns:
            The last observation, where it was taken now.
        """
        if self._closed or not self._pace.running:
            return None
        self._closed = True
        self._pace.stop()
        return self._observe(self._step) if self._final and self._step not in self._observed else None

    def _observe(self, step: int) -> Scan | None:
        if self._failures == FAILED:
            return None
        try:
            settle(self._model)
            with self._pace.observing():
                with untouched(self._model):
                    found = scan(self._model, **self._options)
                self._store.append(found, run=self.run, step=step)
                self._failures = 0
                self._observed.append(step)
                self._tell(found, step)
        except Exception as error:  # whatever it is, it costs this observation and not the training
            self._fail(error, step)
            return None
        return found

    def _tell(self, found: Scan, step: int) -> None:
        for logger in self._loggers:
            self._guarded(partial(scalars.write, logger), found, step, logger)
        if self._on_record is not None:
            self._guarded(self._on_record, found, step, self._on_record)

    def _guarded(self, act: Callable[[Scan, int], object], found: Scan, step: int, who: object) -> None:
        """Do what others gave us to do; say once of each where it fails."""
        try:
            act(found, step)
        except Exception as error:
            if id(who) not in self._said:
                self._said.add(id(who))
                name = getattr(who, "__qualname__", type(who).__name__)
                _log.warning("%s failed at step %d and the training goes on: %s", name, step, _words(error), exc_info=True)

    def _fail(self, error: Exception, step: int) -> None:
        self._failures += 1
        if "observing" not in self._said:
            self._said.add("observing")
            _log.warning("step %d is not recorded and the training goes on: %s", step, _words(error), exc_info=True)
        if self._failures == FAILED:
            _log.warning("%d observations in a row failed: observing stops, the training goes on.", FAILED)

    def _say_late(self) -> None:
        if "late" in self._said:
            return
        self._said.add("late")
        cost, seconds = self._pace.cost, self._pace.predicted
        step = cost.training / self._steps
        wishes = round(seconds / cost.budget / step / self._every) if step > 0 else 1
        _log.warning(
            "an observation takes %.3g s and a step %.3g s: at a budget of %.3g %% there will be one in about %d steps, not in %d. "
            "Fewer matrices (include, exclude, min_dim) make it cheaper, a larger budget more frequent.",
            *(seconds, step, 100 * cost.budget, max(1, wishes) * self._every, self._every),
        )


def _check(common: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Meet a wrong option now: once the training runs, what is wrong is only logged."""
    scan({}, **options)
    scan({"tiny": np.eye(2)}, **common)


def _opened(store: str | Path | Recorder) -> Recorder:
    if isinstance(store, str | os.PathLike):
        connected().close()  # or a missing library would be met, and only logged, once the training runs
        return Store(store)
    if not callable(getattr(store, "append", None)):
        raise UsageError(f"store: expected a folder or a Store, got {type(store).__name__}.")
    return store


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
