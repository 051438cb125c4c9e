"""Whether this machine computes with the same rounding as the one that wrote a checkpoint.

The same product may differ in its last bits between BLAS kernels, thread counts and NumPy
versions. Instead of asking each of them, the products of one step are computed from fixed numbers
in the run's own shapes, and their bits hashed.
"""

import hashlib

import numpy as np

from charlstm.nn.cuts import BY_RULE, Cuts
from charlstm.nn.model import CharLM, Shape
from charlstm.nn.optim import clip_by_norm


def arithmetic_fingerprint(shape: Shape, T: int, B: int, cuts: Cuts = BY_RULE) -> str:
    """64 hex digits that agree when, in all likelihood, a training step agrees bit for bit.

    ``T`` and ``B`` are those of one process, for its share of the batch decides the kernels.
    """
    model = CharLM(shape, seed=0, cuts=cuts)
    ids = np.arange(T * B, dtype=np.intp).reshape(T, B) * 7 % shape.vocabulary_size
    targets = ids[::-1].copy()
    loss, _ = model.loss_and_gradients(ids, targets, model.zero_states(B), model.tape(T, B))
    norm = clip_by_norm(model.grads, 1e-3)
    digest = hashlib.sha256(np.array([loss, norm]).tobytes())
    digest.update(model.grads.tobytes())
    return digest.hexdigest()
