import numpy as np

from charlstm.nn.parameter import Parameter, flatten


def test_flat_vectors_and_parameters_are_one_memory(rng) -> None:
    matrix, vector = rng.standard_normal((2, 3)), rng.standard_normal(4)
    parameters = [Parameter(matrix), Parameter(vector)]
    values, grads = flatten(iter(parameters))

    np.testing.assert_array_equal(values, [*matrix.ravel(), *vector])
    np.testing.assert_array_equal(grads, np.zeros(10))
    assert [p.value.shape for p in parameters] == [(2, 3), (4,)]
    values[4], grads[-1] = 50.0, 60.0
    assert parameters[0].value[1, 1] == 50.0
    assert parameters[1].grad[3] == 60.0
    parameters[1].value[0] = 70.0
    parameters[0].grad[0, 2] = 80.0
    assert values[6] == 70.0
    assert grads[2] == 80.0


def test_a_gradient_starts_at_zero_in_the_value_s_type() -> None:
    parameter = Parameter(np.ones((2, 3), np.float32))
    assert parameter.grad.dtype == np.float32
    np.testing.assert_array_equal(parameter.grad, np.zeros((2, 3)))
