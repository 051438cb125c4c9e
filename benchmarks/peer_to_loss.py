"""The other side of time_to_loss.py: a text trained on in PyTorch, as its users write it.

    python benchmarks/peer_to_loss.py usual|recipe|gpt TEXT CORES SECONDS

Prints a JSON pair for each evaluation: seconds since the start, and nats a character.
"""

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path

BEGAN = time.perf_counter()

import torch  # noqa: E402 - that it takes a second to import is a part of the wait
from peer_gpt import GPTPeer  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

H, B, T, EPOCHS, RATE, LEAST, WARM_UP, DROPOUT = 512, 32, 64, 3.75, 6e-3, 1e-4, 100, 0.15
"""Of configs/shakespeare.yaml."""
USUAL_RATE = 2e-3
EVERY = 20.0


def parts(text: Path) -> tuple[Tensor, Tensor, int]:
    """Ids to train on, ids to validate with, and how many characters there are."""
    content = text.read_text("utf-8")
    known = {character: number for number, character in enumerate(sorted(set(content)))}
    ids = torch.tensor([known[character] for character in content])
    cut = len(ids) * 9 // 10
    return ids[:cut], ids[cut:], len(known)


class Peer:
    """`nn.LSTM`, Adam, one-hot input, the state carried from batch to batch."""

    def __init__(self, train: Tensor, validation: Tensor, V: int, *, recipe: bool) -> None:
        torch.manual_seed(1)
        self.V, self.train, self.validation, self.recipe = V, train, validation, recipe
        run = (len(train) - 1) // B
        self.lanes = torch.stack([train[lane * run : lane * run + run + 1] for lane in range(B)], 1)
        self.an_epoch = run // T
        self.total = int(EPOCHS * self.an_epoch) if recipe else sys.maxsize
        self.one_hot = torch.eye(self.V)
        self.lstm, self.linear = nn.LSTM(self.V, H), nn.Linear(H, self.V)
        if recipe:
            self._start_as_ours()
        self.parameters = [*self.lstm.parameters(), *self.linear.parameters()]
        self.adam = torch.optim.Adam(self.parameters, lr=USUAL_RATE)
        self.state, self.number = None, 0

    @torch.no_grad()
    def _start_as_ours(self) -> None:
        self.lstm.weight_ih_l0.uniform_(-2.0, 2.0)
        self.lstm.bias_ih_l0.zero_()
        self.lstm.bias_hh_l0.zero_()
        self.lstm.bias_ih_l0[H : 2 * H] = 1.0
        counts = torch.bincount(self.train, minlength=self.V) + 1
        self.linear.bias.copy_(torch.log(counts / counts.sum()))

    def rate(self) -> float:
        if not self.recipe:
            return USUAL_RATE
        if self.number < WARM_UP:
            return RATE * (self.number + 1) / WARM_UP
        share = (self.number - WARM_UP) / (self.total - WARM_UP)
        return LEAST + (RATE - LEAST) * (1 + math.cos(math.pi * share)) / 2

    def step(self) -> None:
        place = self.number % self.an_epoch
        state = None if place == 0 else self.state
        piece = self.lanes[place * T : place * T + T + 1]
        out, state = self.lstm(functional.embedding(piece[:-1], self.one_hot), state)
        self.state = tuple(part.detach() for part in state)
        out = functional.dropout(out, DROPOUT) if self.recipe else out
        logits = self.linear(out).reshape(-1, self.V)
        loss = functional.cross_entropy(logits, piece[1:].reshape(-1))
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.adam.param_groups[0]["lr"] = self.rate()
        self.adam.step()
        self.number += 1

    @torch.inference_mode()
    def loss(self) -> float:
        """On the whole validation part, the state carried from its start."""
        state, losses = None, 0.0
        for start in range(0, len(self.validation) - 1, 2048):
            y = self.validation[start + 1 : start + 2049]
            x = self.validation[start : start + len(y), None]
            out, state = self.lstm(functional.embedding(x, self.one_hot), state)
            losses += functional.cross_entropy(self.linear(out[:, 0]), y, reduction="sum").item()
        return losses / (len(self.validation) - 1)


def curve(peer: Peer | GPTPeer, seconds: float) -> Iterator[tuple[float, float]]:
    due = EVERY
    while peer.number < peer.total and time.perf_counter() - BEGAN < seconds:
        peer.step()
        if time.perf_counter() - BEGAN > due:
            nats = peer.loss()
            yield time.perf_counter() - BEGAN, nats
            due = time.perf_counter() - BEGAN + EVERY
    nats = peer.loss()
    yield time.perf_counter() - BEGAN, nats


def main() -> None:
    side, text, cores, seconds = sys.argv[1:]
    torch.set_num_threads(int(cores))
    known = parts(Path(text))
    peer = GPTPeer(*known) if side == "gpt" else Peer(*known, recipe=side == "recipe")
    for point in curve(peer, float(seconds)):
        print(json.dumps(point), flush=True)


if __name__ == "__main__":
    main()
