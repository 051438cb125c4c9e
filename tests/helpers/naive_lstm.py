"""The LSTM gate by gate: eight matrices, four biases, one step after the other, batches of rows.

The packed layers are held against this. It shares no code with them.
"""

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def forward(w, xs, h, c):
    """``w``: W_ix ``(D, H)``, W_ih ``(H, H)``, b_i ``(H,)`` and so on; ``xs``: ``(T, B, D)``."""
    steps = []
    for x in xs:
        i = sigmoid(x @ w["W_ix"] + h @ w["W_ih"] + w["b_i"])
        f = sigmoid(x @ w["W_fx"] + h @ w["W_fh"] + w["b_f"])
        o = sigmoid(x @ w["W_ox"] + h @ w["W_oh"] + w["b_o"])
        g = np.tanh(x @ w["W_gx"] + h @ w["W_gh"] + w["b_g"])
        c_new = i * g + f * c
        h_new = o * np.tanh(c_new)
        steps.append({"x": x, "h_prev": h, "c_prev": c, "i": i, "f": f, "o": o, "g": g})
        steps[-1] |= {"c": c_new, "h": h_new}
        h, c = h_new, c_new
    return steps


def backward(w, steps, dhs, dh_next, dc_next):
    """Gradients of the twelve parameters, of every x, and of the first h and c."""
    grads = {name: np.zeros_like(value) for name, value in w.items()}
    dxs = [None] * len(steps)
    for t in reversed(range(len(steps))):
        q = steps[t]
        dh = dhs[t] + dh_next
        dc = dc_next + dh * q["o"] * (1 - np.tanh(q["c"]) ** 2)
        da = {
            "o": dh * np.tanh(q["c"]) * q["o"] * (1 - q["o"]),
            "i": dc * q["g"] * q["i"] * (1 - q["i"]),
            "f": dc * q["c_prev"] * q["f"] * (1 - q["f"]),
            "g": dc * q["i"] * (1 - q["g"] ** 2),
        }
        dxs[t] = np.zeros_like(q["x"])
        dh_next = np.zeros_like(dh)
        for gate, da_gate in da.items():
            grads[f"W_{gate}x"] += q["x"].T @ da_gate
            grads[f"W_{gate}h"] += q["h_prev"].T @ da_gate
            grads[f"b_{gate}"] += da_gate.sum(axis=0)
            dxs[t] += da_gate @ w[f"W_{gate}x"].T
            dh_next += da_gate @ w[f"W_{gate}h"].T
        dc_next = dc * q["f"]
    return grads, np.array(dxs), dh_next, dc_next
