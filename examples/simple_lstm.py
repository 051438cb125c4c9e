"""The demonstration of nicodjimenez/lstm, on our layers: one `simple` LSTM learns four numbers.

At each of four steps the first unit of h is to be a given number. The inputs are random and stay
the same; the loss is the sum of the squared errors.

    python examples/simple_lstm.py
"""

from collections.abc import Iterator

import numpy as np

from charlstm.nn.gates import IDENTITY
from charlstm.nn.lstm import LSTM
from charlstm.nn.start import Start

TARGETS = np.array([-0.5, 0.2, 0.1, -0.5])
D, H = 50, 100
LEARNING_RATE = 0.1
ITERATIONS = 100


def learn(seed: int = 0) -> Iterator[tuple[np.ndarray, float]]:
    """After each iteration's forward pass: the predictions ``(4,)`` and the loss."""
    rng = np.random.default_rng(seed)
    T, B = len(TARGETS), 1
    x = rng.random((T, B, D))
    layer = LSTM(D, H, rng, Start(forget_bias=0.0, dtype=np.float64), squash=IDENTITY)
    tape = layer.tape(T, B)
    for _ in range(ITERATIONS):
        h, _ = layer.forward(x, layer.zero_state(B), tape)
        errors = h[:, 0, 0] - TARGETS
        yield h[:, 0, 0].copy(), float(np.sum(errors**2))

        dh = np.zeros_like(h)
        dh[:, 0, 0] = 2.0 * errors
        layer.backward(dh, tape)
        for parameter in layer.parameters().values():
            parameter.value -= LEARNING_RATE * parameter.grad


def main() -> None:
    for iteration, (predictions, loss) in enumerate(learn()):
        shown = ", ".join(f"{prediction: .5f}" for prediction in predictions)
        print(f"iteration {iteration:3}: h = [{shown}], loss {loss:.3e}")


if __name__ == "__main__":
    main()
