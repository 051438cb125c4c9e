"""The other side: PyTorch's nn.LSTM as its users write it. Runs in an environment of its own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from serve import serve
from torch import nn
from torch.nn import functional

V = 65
torch.set_num_threads(int(os.environ["BENCH_CORES"]))


@contextmanager
def training(B: int, T: int, H: int, L: int) -> Iterator[Callable[[], None]]:
    torch.manual_seed(1)
    one_hot, lstm, linear = torch.eye(V), nn.LSTM(V, H, L), nn.Linear(H, V)
    parameters = [*lstm.parameters(), *linear.parameters()]
    adam = torch.optim.Adam(parameters, lr=1e-3)
    text = torch.randint(0, V, (100 * T + 1, B))
    state = None
    number = 0

    def step() -> None:
        nonlocal state, number
        start = (number % 100) * T
        number += 1
        x, y = text[start : start + T], text[start + 1 : start + T + 1]
        out, state = lstm(functional.embedding(x, one_hot), state)
        state = tuple(part.detach() for part in state)
        loss = functional.cross_entropy(linear(out).reshape(-1, V), y.reshape(-1))
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        adam.step()
        loss.item()

    yield step


def sampling(count: int) -> Callable[[int], None]:
    one_hot, lstm, linear = torch.eye(V), nn.LSTM(V, 128, 2), nn.Linear(128, V)

    @torch.inference_mode()
    def make(length: int) -> None:
        x, state = torch.zeros((1, count), dtype=torch.long), None
        for _ in range(length):
            out, state = lstm(functional.embedding(x, one_hot), state)
            x = torch.multinomial(torch.softmax(linear(out[0]), -1), 1).T

    return make


if __name__ == "__main__":
    serve(training, sampling)
