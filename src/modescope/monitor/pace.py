"""The time budget of an observer: what observing took, what training took, and whether one more observation fits."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

WINDOW = 5  # observations whose largest cost predicts the next one
MARGIN = 1.5  # times that much must be free: it delays all observations once, and keeps a busy moment from breaking the budget


@dataclass(frozen=True)
class Cost:
    """What observing has cost so far.

    Attributes:
        observations: How many were taken, the last one after the training included.
        seconds: Time they took while the training waited.
        training: Seconds of the training itself, observing left out.
        final: Seconds of the observation after the last step, which delays no step and is in none of the other two.
        budget: Largest share that was asked for.
    """

    observations: int
    seconds: float
    training: float
    final: float
    budget: float

    @property
    def share(self) -> float:
        """By how much observing made the training longer: 0.02 is 2 %. Above the budget until the first observation is earned."""
        return self.seconds / self.training if self.training > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"{self.observations} observations took {self.seconds:.3g} s of {self.training:.3g} s of training "
            f"({self.share:.2%}, budget {self.budget:.2%}), and {self.final:.3g} s after it"
        )


class Pace:
    """A clock with two hands, training and observing, of which one stands while the other runs."""

    def __init__(self, budget: float) -> None:
        self.budget = budget
        self._spent = 0.0
        self._final = 0.0
        self._count = 0
        self._costs: deque[float] = deque(maxlen=WINDOW)
        self._trained = 0.0
        self._since: float | None = None  # when training last went on, or None while it stands

    @property
    def running(self) -> bool:
        """Whether a training is being timed."""
        return self._since is not None

    def run(self) -> None:
        """Let training time run."""
        if self._since is None:
            self._since = perf_counter()

    def stop(self) -> None:
        """Let training time stand."""
        self._trained = self.training
        self._since = None

    @property
    def training(self) -> float:
        """Seconds of training so far."""
        return self._trained + (0.0 if self._since is None else perf_counter() - self._since)

    @property
    def predicted(self) -> float:
        """Seconds that the next observation will take, going by the dearest of the last ones.

        The first fills caches that the others find full; it predicts only as long as there is no other.
        """
        return max(self._costs, default=0.0)

    def affords(self) -> bool:
        """Whether one more observation, at `MARGIN` times the predicted cost, stays within the budget; the first always does."""
        return self._count == 0 or (self._spent + MARGIN * self.predicted) / self.budget <= self.training

    @contextmanager
    def observing(self) -> Iterator[None]:
        """Book the time spent inside: on the budget while a training is timed, as final where it no longer is."""
        during = self.running
        self.stop()
        start = perf_counter()
        try:
            yield
        finally:
            seconds = perf_counter() - start
            if self._count == 1:
                self._costs.clear()
            self._costs.append(seconds)
            self._count += 1
            if during:
                self._spent += seconds
                self.run()
            else:
                self._final += seconds

    @property
    def cost(self) -> Cost:
        """The books as they stand."""
        return Cost(self._count, self._spent, self.training, self._final, self.budget)
