"""A training small enough for several processes on one core. Shared by tests."""

from typing import Any

SETTINGS: dict[str, Any] = {
    "model.hidden_size": 11,
    "model.dropout": 0.3,
    "training.batch_size": 7,
    "training.sequence_length": 5,
    "training.learning_rate": 0.005,
    "training.steps": 200,
    "output.report_every": 1,
    "evaluation.every": 50,
}
