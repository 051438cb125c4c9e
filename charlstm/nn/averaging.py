"""The mean of the weights of many steps: less noise than those of any one of them.

After every step ``a += w (x - a)``, with a weight ``w`` that is 1 at the first: then nothing of
where ``a`` began is left. What differs is how ``w`` falls. ``span`` is the number of steps that a
mean is taken over.
"""

from collections.abc import Callable

from charlstm.nn.model import CharLM
from charlstm.nn.optim import blocks

Weight = Callable[[int, int, int], float]


def exponential(step: int, steps: int, span: int) -> float:
    """Polyak & Juditsky 1992, weighted: the last ``span`` steps count most. In the beginning the
    mean is over a ninth of the steps so far, so that it does not remember how the model started.
    """
    del steps
    return min(1.0, max(1.0 / span, 9.0 / (8.0 + step)))


def last_part(step: int, steps: int, span: int) -> float:
    """The plain mean over the last ``span`` of all ``steps``; before them the weights themselves
    (as in Merity, Keskar & Socher 2018, but from a step that is known beforehand).
    """
    return 1.0 / max(1, step - max(0, steps - span))


AVERAGES: dict[str, Weight] = {"ema": exponential, "last-fraction": last_part}


class Average:
    """``model`` has the mean of the weights that have been taken in, the first to be of step 1."""

    def __init__(self, model: CharLM, kind: str, *, steps: int, fraction: float) -> None:
        self.model = model.copy()
        self._weight, self._steps = AVERAGES[kind], steps
        self._span = max(1, round(steps * fraction))

    def take(self, weights: CharLM, step: int) -> None:
        """Of step ``step``, from 1 on."""
        w = self._weight(step, self._steps, self._span)
        a, x = self.model.values, weights.values
        for block in blocks(x.size):
            if w == 1.0:
                a[block] = x[block]
            else:
                change = x[block] - a[block]
                change *= w
                a[block] += change
