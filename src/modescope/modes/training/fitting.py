"""Training: any network on any task by one recipe, so that modes and their dense reference are treated alike."""

import math
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from modescope import seeds
from modescope.errors import Interrupted, UnreadableError, UsageError
from modescope.modes.tasks import Task
from modescope.modes.training import networks, optimizers, run_folder, scoring
from modescope.modes.training.growth import Rule
from modescope.modes.training.recipe import Loss, Penalty, Recipe, named
from modescope.modes.training.resizing import fit_to, resizable
from modescope.modes.training.result import Epoch, Fit, FittedLayer
from modescope.version import __version__

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from modescope.monitor import Monitor

Progress = Callable[[str, int, int | None], None]
GATHERED = 8192  # samples whose features are put in order at once
EPOCHS = "epochs"  # the one setting that may differ when a training is resumed


def fit(
    model: "nn.Module",
    task: Task,
    *,
    epochs: int = 60,
    batch: int = 50,
    lr: float = 0.005,
    weight_decay: float = 1e-4,
    halve_every: int | None = 20,
    seed: int = 0,
    optimizer: str | Callable[..., Any] = "adamw",
    loss: Loss | None = None,
    penalty: Penalty | None = None,
    validation: float = 0.0,
    patience: int | None = None,
    clip: float | None = None,
    autocast: bool = False,
    device: str | None = None,
    prune: Rule | None = None,
    grow: Rule | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    store: Any = None,
    run: str | None = None,
    every: int = 1,
    progress: Progress | None = None,
) -> Fit:
    """Train a network, in place.

    The weights depend on the network as it is given, the data, and the settings up to `grow`, and on nothing else: not on whether
    the training was killed and resumed, nor on torch's random streams, which it leaves as they are. That is so to the last bit on
    one machine, with one number of threads.

    Args:
        model: Any `nn.Module` from features to one output for each class, or to the shape of the targets.
        task: What is learnt.
        epochs: As for `Recipe`, like all up to `autocast`. A resumed training may have more than the one before.
        batch: Samples in a step.
        lr: Learning rate of the first epoch.
        weight_decay: Decay, decoupled as in AdamW.
        halve_every: Epochs after which the learning rate is halved; None keeps it.
        seed: Derives the order of samples and whatever else is drawn.
        optimizer: "adamw", or a function of the parameters.
        loss: Mean loss of a batch, by default cross-entropy of classes and else the squared error.
        penalty: A function of the network that is added to the loss.
        validation: Share of the training samples that is held out.
        patience: Epochs without a better validation after which the training stops; the network then has the weights of the best.
        clip: Largest norm of all gradients together.
        autocast: Run the network in bfloat16.
        device: Where to train, as "cuda:0"; by default where the network is. Data are moved there whole.
        prune: A rule that is asked about each layer in modes between two epochs, as `PruneBelow` or `KeepEnergy`.
        grow: Likewise, after `prune`, as `Grow`.
        folder: Where the run is kept after every epoch, so that it can be resumed, and the network once it is trained.
        resume: Go on with the run in `folder`, if there is one; settings, data and architecture must be the same.
        store: A folder, or an opened `Store`, that a scan of the network is written to as it trains: `modescope serve` shows it.
        run: Name of the run there; by default that of `folder`, or the time.
        every: Epochs from one scan to the next.
        progress: Told "epochs" with how many are done, and of how many.

    Returns:
        `Fit`. The network is in evaluation mode. Where the loss stops being finite the training ends with the weights of the epoch
        before, and `Fit.stopped` says so.

    Raises:
        UsageError: Settings out of range, a network that does not fit the task, a folder that holds another run.
        UnreadableError: The run that is to be resumed is damaged.
        Interrupted: Ctrl-C; network and folder are at the end of the last finished epoch, and `partial` is the `Fit` so far.
    """
    import torch

    recipe = Recipe(
        epochs, batch, lr, weight_decay, halve_every, seed, optimizer, loss, penalty, validation, patience, clip, autocast
    )
    if resume and folder is None:
        raise UsageError("resume: expected the folder of the run with it.")
    if every < 1:
        raise UsageError(f"every: expected a number of epochs of 1 or more, got {every}.")
    from modescope.monitor.model import unwrapped

    bare = unwrapped(model)
    if device is not None:
        model.to(_device(device))
    rules = {name: rule for name, rule in (("prune", prune), ("grow", grow)) if rule is not None}
    if rules and not resizable(bare):
        raise UsageError(
            f"{type(bare).__name__}: expected layers in modes that own free patterns, which can be pruned and grown, got none."
        )
    data = _Data.of(task, recipe, bare)
    place = None if folder is None else Path(folder)
    if place is not None:
        run_folder.check(place, resume=resume)
    said = _said(recipe, rules, task, bare)
    with torch.random.fork_rng(devices=_cuda(data.x)):
        scoring.check(model, task, data.x)
        training = _Training(model, bare, recipe, rules, data, said, place)
        if place is not None and resume:
            training.go_on()
        watch = None if store is None else _watch(bare, store, run or (place.resolve().name if place else None), every)
        return training.finish(watch, progress)


@dataclass(frozen=True, eq=False)
class _Data:
    """The samples as tensors where the network is."""

    x: "Tensor"
    y: "Tensor"
    held: "tuple[Tensor, Tensor] | None"
    test: "tuple[Tensor, Tensor]"
    kind: str
    source: Mapping[str, Any]

    @classmethod
    def of(cls, task: Task, recipe: Recipe, model: "nn.Module") -> "_Data":
        import torch

        like = next((one for one in model.parameters() if one.is_floating_point()), None)
        if like is None:
            raise UsageError(f"{type(model).__name__}: expected a network with parameters to train, got none.")

        def placed(array: Any) -> "Tensor":
            tensor = torch.from_numpy(array)
            return tensor.to(like.device, like.dtype if tensor.is_floating_point() else None)

        x, y = placed(task.x_train), placed(task.y_train)
        held, count = None, round(recipe.validation * len(x))
        if recipe.validation:
            if not 1 <= count < len(x):
                raise UsageError(f"validation: expected a share that holds out some of {len(x)} samples, got {recipe.validation}.")
            order = torch.from_numpy(seeds.generator(recipe.seed, "validation").permutation(len(x))).to(x.device)
            held = x[order[:count]], y[order[:count]]
            x, y = x[order[count:]], y[order[count:]]
        source = {
            "name": task.name,
            "source": task.source,
            "train": len(x),
            "validation": count,
            "test": len(task.x_test),
            "sha256": task.digest,
        }
        return cls(x, y, held, (placed(task.x_test), placed(task.y_test)), task.kind, source)


class _Training:
    """A network between epochs, with the state that it went into the last one with."""

    def __init__(
        self,
        model: "nn.Module",
        bare: "nn.Module",
        recipe: Recipe,
        rules: Mapping[str, Rule],
        data: _Data,
        said: dict[str, Any],
        folder: Path | None,
    ) -> None:
        self.model, self.bare, self.recipe, self.rules, self.data, self.said, self.folder = (
            *(model, bare, recipe, rules, data, said, folder),
        )
        self.optimizer: Optimizer = optimizers.made(recipe, bare)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.rows: tuple[Epoch, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.resumed = 0
        self.best, self.best_weights = 0, None if recipe.patience is None else _copied(bare)
        self.before = _copied(bare)
        self.loss = recipe.loss or scoring.usual_loss(data.kind)
        self.right = scoring.right_of(data.kind)

    def go_on(self) -> None:
        """Take the state of the run in the folder, where there is one."""
        assert self.folder is not None
        found = run_folder.latest(self.folder)
        if found is None:
            if (self.folder / run_folder.MODEL).exists():
                raise UsageError(f"{self.folder}: holds a network and no state to resume from. Name another folder.")
            return
        state, note = found
        _same(self.folder, state.said, self.said)
        fit_to(self.bare, state.part("model"), str(self.folder))
        self.bare.load_state_dict(state.part("model"))
        self.optimizer = optimizers.made(self.recipe, self.bare)
        optimizers.restore(self.optimizer, self.bare, state.part("optimizer"), state.said["optimizer"])
        try:
            self.rows = tuple(Epoch(**{**row, "changes": tuple(row["changes"])}) for row in state.said["rows"])
        except (KeyError, TypeError) as error:
            raise UnreadableError(f"{self.folder}: expected the state of a training of this version, got another.") from error
        self.best, self.resumed = state.said["best"], len(self.rows)
        if self.recipe.patience is not None:
            self.best_weights = state.part("best")
        self.before = _copied(self.bare)
        self.notes = (note,) if note else ()

    def finish(self, watch: "Monitor | None", progress: Progress | None) -> Fit:
        """Do what epochs are left, and what belongs to the end."""
        recipe, stopped = self.recipe, ""
        try:
            if watch is not None:
                watch.start(len(self.rows))
            while not (stopped := self._over()):
                stopped = self._epoch()
                if stopped:
                    break
                if watch is not None:
                    watch.step(len(self.rows))
                if progress is not None:
                    progress("epochs", len(self.rows), recipe.epochs)
            if recipe.patience is not None and self.best_weights is not None and self.best:
                self._take(self.best_weights)
            if watch is not None:
                watch.close()
            found = self._fit(stopped)
            if self.folder is not None:
                self._write_model(found)
        except KeyboardInterrupt as error:
            self._take(self.before)
            raise Interrupted(self._fit(f"interrupted after {len(self.rows)} of {recipe.epochs} epochs")) from error
        return found

    def _over(self) -> str:
        """Why there is no further epoch; empty where there is one."""
        done, recipe = len(self.rows), self.recipe
        if recipe.patience is not None and done - self.best >= recipe.patience and self.best:
            return f"no better validation for {recipe.patience} epochs, after epoch {self.best}"
        return f"all {recipe.epochs} epochs are done" if done >= recipe.epochs else ""

    def _epoch(self) -> str:
        """One epoch, kept as a whole; what ended the training, or nothing."""
        import torch

        number, started = len(self.rows) + 1, perf_counter()
        changes = self._changes(number) if number > 1 else ()
        torch.manual_seed(int(seeds.generator(self.recipe.seed, "epoch", str(number)).integers(2**62)))
        loss, train = self._steps(number)
        if not math.isfinite(loss):
            self._take(self.before)
            return f"the loss is not finite in epoch {number}; the weights are those before it. A smaller lr, or clip, may help"
        with self._precision():
            held = (None, None) if self.data.held is None else self._score(*self.data.held)
            tested = self._score(*self.data.test)
        row = Epoch(
            *(number, loss, train, *held, *tested, perf_counter() - started, _trained(self.bare), _counts(self.bare), changes)
        )
        rows = (*self.rows, row)
        best = number if not self.best or held[0] is None or _better(row, rows[self.best - 1]) else self.best
        if best == number and self.best_weights is not None:
            self.best_weights = _copied(self.bare)
        if self.folder is not None:
            self._keep(rows, best)
        self.rows, self.best, self.before = rows, best, _copied(self.bare)
        return ""

    def _steps(self, number: int) -> tuple[float, float | None]:
        """Go through all samples once; mean loss and share that was right as it went."""
        import torch

        recipe, device = self.recipe, self.data.x.device
        factor = 1.0 if recipe.halve_every is None else 0.5 ** ((number - 1) // recipe.halve_every)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        total, hits = torch.zeros((), dtype=torch.float64, device=device), torch.zeros((), dtype=torch.int64, device=device)
        parameters = [one for group in self.optimizer.param_groups for one in group["params"]]
        self.model.train()
        for x, y in self._batches(number):
            self.optimizer.zero_grad(set_to_none=True)
            with self._precision():
                outputs = self.model(x)
                value = self.loss(outputs, y)
                if recipe.penalty is not None:
                    value = value + recipe.penalty(self.model)
            value.backward()  # type: ignore[no-untyped-call]
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)
            self.optimizer.step()
            with torch.no_grad():
                total += value.detach() * len(x)
                if self.right is not None:
                    hits += self.right(outputs, y)
        samples = len(self.data.x)
        return float(total) / samples, None if self.right is None else int(hits) / samples

    def _batches(self, number: int) -> "Iterator[tuple[Tensor, Tensor]]":
        """The samples in the order of an epoch; a last one that would be alone, as no batch norm takes it, joins those before."""
        import torch

        x, y, batch = self.data.x, self.data.y, self.recipe.batch
        order = torch.from_numpy(seeds.generator(self.recipe.seed, "order", str(number)).permutation(len(x))).to(x.device)
        alone = len(x) - 1 if len(x) % batch == 1 and len(x) > batch > 1 else len(x)
        whole = batch * max(1, GATHERED // batch)
        for top in range(0, alone, whole):
            end = min(top + whole, alone)
            end = len(x) if end == alone else end
            some = order[top:end]
            features, said = x[some], y[some]
            starts = list(range(0, min(top + whole, alone) - top, batch))
            for start, stop in zip(starts, [*starts[1:], end - top], strict=True):
                yield features[start:stop], said[start:stop]

    def _changes(self, number: int) -> tuple[str, ...]:
        """What the rules do to each layer before an epoch."""
        said = []
        for what, rule in self.rules.items():
            for name, layer in resizable(self.bare).items():
                rng = seeds.generator(self.recipe.seed, what, name, str(number))
                if done := rule(layer, number, self.optimizer, rng):
                    said.append(f"{name or 'the network'}: {done}")
        return tuple(said)

    def _precision(self) -> Any:
        import torch

        return torch.autocast(self.data.x.device.type, torch.bfloat16) if self.recipe.autocast else nullcontext()

    def _score(self, x: "Tensor", y: "Tensor") -> tuple[float, float | None]:
        return scoring.score(self.model, x, y, self.loss, self.right)

    def _take(self, weights: "Mapping[str, Tensor]") -> None:
        fit_to(self.bare, weights, "the epoch before")
        self.bare.load_state_dict(weights)

    def _keep(self, rows: tuple[Epoch, ...], best: int) -> None:
        assert self.folder is not None
        remembered, numbers = optimizers.kept(self.optimizer, self.bare)
        tensors = {f"model.{name}": one for name, one in self.bare.state_dict().items()}
        tensors |= {f"optimizer.{name}": one for name, one in remembered.items()}
        tensors |= {f"best.{name}": one for name, one in (self.best_weights or {}).items()}
        run_folder.keep(
            self.folder,
            run_folder.State(tensors, self.said | {"rows": [asdict(row) for row in rows], "best": best, "optimizer": numbers}),
        )

    def _fit(self, stopped: str) -> Fit:
        self.model.eval()
        import torch

        meta = {"modescope": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
        where = {"device": str(self.data.x.device), "threads": torch.get_num_threads()}
        best = self.best if self.data.held is not None else len(self.rows)
        return Fit(
            self.rows,
            self.said["settings"],
            self.data.source,
            stopped,
            best,
            self.resumed,
            self.notes,
            *_layers(self.bare),
            meta | where,
        )

    def _write_model(self, found: Fit) -> None:
        import json

        assert self.folder is not None
        plain = networks.plain(self.bare)
        kept = found.kept
        about = {
            "settings": json.dumps(found.settings),
            "network": json.dumps(networks.described(self.bare)),
            "data": json.dumps(found.source),
            "accuracy": json.dumps(found.accuracy),
            "epochs": json.dumps(0 if kept is None else kept.epoch),
        }
        run_folder.write_model(self.folder, plain, about)


def _said(recipe: Recipe, rules: Mapping[str, Rule], task: Task, model: "nn.Module") -> dict[str, Any]:
    """What a resumed training must have in common with the one before, as plain data."""
    shapes = {name: list(one.shape) for name, one in model.state_dict().items()}
    settings = recipe.settings() | {name: named(rule) for name, rule in rules.items()}
    return {"settings": settings, "data": task.digest, "network": shapes}


def _same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    was, given = dict(before["settings"]), dict(now["settings"])
    for name in sorted((set(was) | set(given)) - {EPOCHS}):
        if was.get(name) != given.get(name):
            raise UsageError(
                f"{folder}: was trained with {name} {was.get(name)!r}, got {given.get(name)!r}. Resume with the same settings, or "
                "name another folder."
            )
    if before["data"] != now["data"]:
        raise UsageError(f"{folder}: was trained on other data than these. Resume with the same, or name another folder.")
    for name in sorted(set(before["network"]) | set(now["network"])):
        if before["network"].get(name) != now["network"].get(name):
            raise UsageError(
                f"{folder}: was trained with another architecture: {name} was {before['network'].get(name, 'none')}, got "
                f"{now['network'].get(name, 'none')}. Resume with the same, or name another folder."
            )


def _watch(model: "nn.Module", store: Any, run: str | None, every: int) -> "Monitor":
    from modescope.monitor import Monitor

    return Monitor(model, store, run=run, every=every, budget=math.inf)


def _better(new: Epoch, old: Epoch) -> bool:
    """Whether a validation is better: more that are right, or as many with a smaller loss; of numbers by the loss alone."""
    return _rank(new) > _rank(old)


def _rank(row: Epoch) -> tuple[float, float]:
    return row.validation_accuracy or 0.0, -(row.validation_loss or 0.0)


def _copied(model: "nn.Module") -> "dict[str, Tensor]":
    return deepcopy({name: one.detach() for name, one in model.state_dict().items()})


def _trained(model: "nn.Module") -> int:
    return sum(one.numel() for one in model.parameters() if one.requires_grad)


def _counts(model: "nn.Module") -> dict[str, int]:
    from modescope.modes.modules.base import ModeLayer

    return {name: layer.n_modes for name, layer in model.named_modules() if isinstance(layer, ModeLayer)}


def _layers(model: "nn.Module") -> tuple[tuple[FittedLayer, ...], int]:
    """The weights that are in modes or could be, and the trainable numbers of the network if none were."""
    from torch import nn

    from modescope.modes.modules.base import ModeLayer

    found, factors = [], set()
    for name, layer in model.named_modules():
        if isinstance(layer, ModeLayer):
            cost = layer.cost
            found.append(FittedLayer(name, layer.shape, layer.n_modes, cost.factored(layer.n_modes), cost.dense))
            factors |= {id(one) for one in layer.parameters() if one is not layer.bias}
        elif isinstance(layer, nn.Linear):
            found.append(FittedLayer(name, (layer.out_features, layer.in_features), None, *2 * [layer.weight.numel()]))
    others = sum(one.numel() for one in model.parameters() if one.requires_grad and id(one) not in factors)
    return tuple(found), others + sum(one.dense_parameters for one in found if one.modes is not None)


def _device(name: str) -> "torch.device":
    import torch

    try:
        found = torch.device(name)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"device: expected one that torch has, as cpu or cuda:0, got {name!r}.") from error
    return found


def _cuda(tensor: "Tensor") -> list[int]:
    return [tensor.device.index or 0] if tensor.device.type == "cuda" else []
