"""The observer as a callback of the Lightning Trainer."""

from typing import Any

from modescope.monitor import Monitor
from modescope.monitor._installed import installed


def callback(monitor: Monitor, /) -> Any:
    """A Lightning `Callback` that starts, steps and closes a monitor; `Trainer(callbacks=[callback(monitor)])`.

    Steps are the optimizer steps that the Trainer counts (`trainer.global_step`): batches whose gradients only accumulate are none.
    In a training of several processes only the first one of all observes.

    Args:
        monitor: Of the `LightningModule`, or of a module inside it.

    Raises:
        UsageError: Neither lightning nor pytorch_lightning is installed.
    """

    class MonitorCallback(installed("Callback", "lightning.pytorch", "pytorch_lightning")):  # type: ignore[misc]
        """Hands the events of a training to a monitor."""

        def on_train_start(self, trainer: Any, *_: Any) -> None:
            if trainer.is_global_zero:
                monitor.start(trainer.global_step)

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            if trainer.is_global_zero:
                monitor.step(trainer.global_step)

        def on_train_end(self, trainer: Any, *_: Any) -> None:
            if trainer.is_global_zero:
                monitor.close()

    return MonitorCallback()
