"""Train the network that ships with Modescope: a small convolutional classifier of scikit-learn's handwritten digits.

    python examples/train_digits.py                 # writes digits/ in the current folder, about a minute on one core
    python examples/train_digits.py --out FOLDER --epochs 2

It writes `epoch-NN.safetensors` for a history of the training, from the untrained network on, and `model.safetensors` for the last
epoch. Settings, seed and accuracy on the held-out fifth of the data stand in the metadata of each file. Same versions, same machine
type, same seed: same weights.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

SEED = 0
EPOCHS = 40
KEPT = (0, 1, 2, 4, 8, 16, 40)
SETTINGS = {"optimizer": "SGD, Nesterov momentum 0.9", "learning_rate": 0.1, "weight_decay": 3e-3, "batch_size": 32}


def network() -> nn.Sequential:
    """Two convolutions with batch norm, two linear layers: 86,000 parameters, every hidden matrix at least 25 wide."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images (n, 1, 8, 8) scaled to 0..1 and labels, for training and for testing."""
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16.0, labels, test_size=0.2, stratify=labels, random_state=SEED)
    x_train, x_test = (torch.tensor(part, dtype=torch.float32).reshape(-1, 1, 8, 8) for part in split[:2])
    y_train, y_test = (torch.tensor(part) for part in split[2:])
    return x_train, y_train, x_test, y_test


def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images classified right, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return float((model(images).argmax(dim=1) == labels).float().mean())


def train(folder: Path, *, epochs: int = EPOCHS) -> float:
    """Train and write the history; returns the accuracy on the held-out images."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model, (x_train, y_train, x_test, y_test) = network(), data()
    generator = torch.Generator().manual_seed(SEED)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=SETTINGS["learning_rate"],
        momentum=0.9,
        nesterov=True,
        weight_decay=SETTINGS["weight_decay"],
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    folder.mkdir(parents=True, exist_ok=True)
    reached = _save(model, folder, 0, accuracy(model, x_test, y_test))
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in torch.randperm(len(x_train), generator=generator).split(SETTINGS["batch_size"]):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x_train[batch]), y_train[batch]).backward()
            optimizer.step()
        schedule.step()
        if epoch in KEPT or epoch == epochs:
            reached = _save(model, folder, epoch, accuracy(model, x_test, y_test), last=epoch == epochs)
            print(f"epoch {epoch:2d}: accuracy {reached:.4f}")
    return reached


def _save(model: nn.Module, folder: Path, epoch: int, reached: float, *, last: bool = False) -> float:
    said = {
        "description": "digits classifier: conv 1-32 (5x5), conv 32-64 (3x3), linear 1024-64-10, batch norm, ReLU",
        "data": "sklearn.datasets.load_digits, stratified split, a fifth held out",
        "accuracy": f"{reached:.4f}",
        "epoch": str(epoch),
        "epochs": str(EPOCHS),
        "seed": str(SEED),
        "torch": torch.__version__.split("+")[0],
    }
    said |= {key: str(value) for key, value in SETTINGS.items()}
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / f"epoch-{epoch:02d}.safetensors", metadata=said)
    if last:
        save_file(weights, folder / "model.safetensors", metadata=said)
    return reached


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("digits"), help="folder to write (default: digits)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"epochs (default: {EPOCHS})")
    arguments = parser.parse_args()
    train(arguments.out, epochs=arguments.epochs)
