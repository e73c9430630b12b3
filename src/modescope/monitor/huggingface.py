"""The observer as a callback of the Hugging Face Trainer."""

from typing import Any

from modescope.monitor import Monitor
from modescope.monitor._installed import installed


def callback(monitor: Monitor, /) -> Any:
    """A `transformers.TrainerCallback` that starts, steps and closes a monitor; `Trainer(..., callbacks=[callback(monitor)])`.

    Steps are the optimizer steps that the Trainer counts (`state.global_step`), also where it resumes. In a training of several
    processes only the first one of all observes.

    Args:
        monitor: Of the model that is given to the Trainer.

    Raises:
        UsageError: transformers is not installed.
    """

    class MonitorCallback(installed("TrainerCallback", "transformers")):  # type: ignore[misc]
        """Hands the events of a training to a monitor."""

        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                monitor.start(state.global_step)

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                monitor.step(state.global_step)

        def on_train_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                monitor.close()

    return MonitorCallback()
