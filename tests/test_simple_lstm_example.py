import re
import runpy

import numpy as np
import pytest
from places import ROOT

SCRIPT = ROOT / "examples" / "simple_lstm.py"


def test_it_prints_a_loss_that_converges(capsys) -> None:
    runpy.run_path(str(SCRIPT), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 100
    losses = [float(re.fullmatch(r"iteration +\d+: h = .*, loss (\S+)", s)[1]) for s in lines]
    assert losses[0] > 0.1
    assert losses[-1] < 1e-5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_does_not_depend_on_the_seed(seed: int) -> None:
    example = runpy.run_path(str(SCRIPT))
    *_, (predictions, loss) = example["learn"](seed)
    assert loss < 1e-5
    np.testing.assert_allclose(predictions, [-0.5, 0.2, 0.1, -0.5], atol=4e-3)
