"""Agreement with PyTorch's nn.LSTM. Skipped where PyTorch is not installed."""

import numpy as np
import pytest
from layers import random_layer, random_state

from charlstm.nn.gate_names import by_gate, pack

torch = pytest.importorskip("torch")

T, B, D, H = 9, 3, 4, 5
PYTORCH_ORDER = "ifgo"


def torch_weights(layer) -> dict[str, "torch.Tensor"]:
    """PyTorch: column vectors, (4H, D), two biases of which one is zero here."""
    w = by_gate({name: p.value for name, p in layer.parameters().items()})
    return {
        "weight_ih": np.concatenate([w[f"W_{k}x"].T for k in PYTORCH_ORDER]),
        "weight_hh": np.concatenate([w[f"W_{k}h"].T for k in PYTORCH_ORDER]),
        "bias_ih": np.concatenate([w[f"b_{k}"] for k in PYTORCH_ORDER]),
        "bias_hh": np.zeros(4 * H),
    }


def our_gradients(reference, number: int) -> dict[str, np.ndarray]:
    dW_x, dW_h, db = (
        dict(zip(PYTORCH_ORDER, np.split(parameter.grad.numpy(), 4), strict=True))
        for parameter in (
            getattr(reference, f"weight_ih_l{number}"),
            getattr(reference, f"weight_hh_l{number}"),
            getattr(reference, f"bias_ih_l{number}"),
        )
    )
    named = {f"W_{k}x": dW_x[k].T for k in "ifgo"} | {f"W_{k}h": dW_h[k].T for k in "ifgo"}
    return pack(named | {f"b_{k}": db[k] for k in "ifgo"})


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_outputs_states_and_gradients(layers: int, rng) -> None:
    stack = [random_layer("lstm", D if n == 0 else H, H, seed=n) for n in range(layers)]
    states = [random_state(B, H, rng) for _ in stack]
    dstates = [random_state(B, H, rng) for _ in stack]
    x, dout = rng.standard_normal((T, B, D)), rng.standard_normal((T, B, H))

    reference = torch.nn.LSTM(D, H, layers, dtype=torch.float64)
    with torch.no_grad():
        for number, layer in enumerate(stack):
            for name, value in torch_weights(layer).items():
                getattr(reference, f"{name}_l{number}").copy_(torch.from_numpy(value))
    given = [torch.tensor(x), *(torch.tensor(np.array(part)) for part in zip(*states, strict=True))]
    for tensor in given:
        tensor.requires_grad_()
    output, (h_n, c_n) = reference(given[0], (given[1], given[2]))
    dh_n, dc_n = (torch.tensor(np.array(part)) for part in zip(*dstates, strict=True))
    ((output * torch.tensor(dout)).sum() + (h_n * dh_n).sum() + (c_n * dc_n).sum()).backward()

    tapes = [layer.tape(T, B) for layer in stack]
    out, ends = x, []
    for layer, state, tape in zip(stack, states, tapes, strict=True):
        out, end = layer.forward(out, state, tape)
        ends.append(end)
    dx, dstarts = dout, []
    for layer, dstate, tape in reversed(list(zip(stack, dstates, tapes, strict=True))):
        dx, dstart = layer.backward(dx, tape, dstate)
        dstarts.insert(0, dstart)

    def agree(ours, theirs) -> None:
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)

    agree(out, output)
    agree([end.h for end in ends], h_n)
    agree([end.c for end in ends], c_n)
    agree(dx, given[0].grad)
    agree([d.h for d in dstarts], given[1].grad)
    agree([d.c for d in dstarts], given[2].grad)
    for number, layer in enumerate(stack):
        theirs = our_gradients(reference, number)
        for name, parameter in layer.parameters().items():
            np.testing.assert_allclose(
                parameter.grad, theirs[name], rtol=1e-10, atol=1e-12, err_msg=f"{number} {name}"
            )


def test_cross_entropy(rng) -> None:
    from charlstm.nn.loss import softmax_cross_entropy, softmax_cross_entropy_backward

    N, V = 11, 6
    logits, targets = 5 * rng.standard_normal((N, V)), rng.integers(V, size=N)
    theirs = torch.tensor(logits, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(theirs, torch.tensor(targets))
    loss.backward()
    ours = softmax_cross_entropy(logits, targets)
    assert ours.mean() == pytest.approx(loss.item(), rel=1e-12)
    gradient = softmax_cross_entropy_backward(logits, targets, 1 / N)
    np.testing.assert_allclose(gradient, theirs.grad.numpy(), rtol=1e-10, atol=1e-14)
