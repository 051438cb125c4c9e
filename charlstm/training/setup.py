"""From a configuration and its text to the parts of a training, at its start or at a checkpoint."""

from dataclasses import replace

import numpy as np

from charlstm import from_config
from charlstm.nn.growing import take_over
from charlstm.nn.model import CharLM
from charlstm.saved.checkpoint import Checkpoint, load_parameters
from charlstm.saved.progress import Progress
from charlstm.system.comm import Comm
from charlstm.text.items import Items
from charlstm.text.parts import beginning
from charlstm.training.dataset import Dataset
from charlstm.training.evaluation import Evaluation, LaneEvaluation
from charlstm.training.item_evaluation import ItemEvaluation
from charlstm.training.loop import Plan
from charlstm.training.trainer import StepSettings, Trainer

ENOUGH_TO_COUNT = 1_000_000  # characters that tell how often each occurs


def prepare(
    dataset: Dataset, comm: Comm, checkpoint: Checkpoint | None
) -> tuple[Trainer, Progress]:
    """A trainer of this rank where the run stands: at a checkpoint, or at its start."""
    trainer = _new_trainer(dataset, comm)
    if checkpoint is not None:
        load_parameters(trainer.model, checkpoint.parameters)
        if trainer.average is not None:
            load_parameters(trainer.average.model, checkpoint.averages)
        trainer.optimizer.load(checkpoint.optimizer, checkpoint.optimizer_steps)
        trainer.schedule.restore(checkpoint.progress.schedule)
        trainer.restore(checkpoint.states, checkpoint.progress.step)
        return trainer, replace(checkpoint.progress, finished=False)
    if comm.rank == 0:
        give_first_values(trainer.model, dataset)
    comm.broadcast(trainer.model.values)  # init_from may name a run that is still training
    return trainer, Progress()


def give_first_values(model: CharLM, dataset: Dataset) -> None:
    """Those of the model to start from, grown if need be; or of a new one."""
    source, vocabulary = dataset.source, dataset.corpus.vocabulary
    sample = beginning(dataset.train, ENOUGH_TO_COUNT)
    counts = np.bincount(sample, minlength=vocabulary.size)
    if source is not None:
        take_over(model, source.model, source.vocabulary.ids_in(vocabulary), counts)
    else:
        model.start_from_frequencies(counts)


def _new_trainer(dataset: Dataset, comm: Comm) -> Trainer:
    config = dataset.config
    model = from_config.model_of(config, dataset.corpus.vocabulary.size)
    return Trainer(
        model,
        dataset.batches,
        optimizer=from_config.optimizer_of(config, model),
        schedule=from_config.schedule_of(config, dataset.batches.steps_per_epoch),
        settings=StepSettings(
            clip_norm=config.training.clip_norm,
            clip_value=config.training.clip_value,
            dropout=from_config.dropout_of(config),
        ),
        comm=comm,
        average=from_config.average_of(config, model, dataset.batches.steps_per_epoch),
    )


def evaluation_of(dataset: Dataset, trainer: Trainer) -> Evaluation | None:
    if not dataset.text.validation:
        return None
    characters = dataset.config.evaluation.characters
    return evaluation_on_validation(dataset, trainer.usable, trainer.comm, characters)


def evaluation_on_validation(
    dataset: Dataset, model: CharLM, comm: Comm, characters: int = 0
) -> Evaluation:
    """Of any model of the kind, on all of the part or so many ``characters``."""
    part, training = dataset.validation, dataset.config.training
    sizes = training.batch_size, training.sequence_length
    if isinstance(part, Items):
        return ItemEvaluation(model, part, *sizes, comm, characters=characters)
    return LaneEvaluation(model, part, *sizes, comm, characters=characters)


def plan_of(dataset: Dataset) -> Plan:
    config = dataset.config
    return Plan(
        total_steps=dataset.total_steps,
        report_every=config.output.report_every,
        evaluate_every=config.evaluation.every,
        checkpoint_every=config.output.checkpoint_every,
        milestone_every=config.output.milestone_every,
        sample_every=config.output.sample_every,
        early_stopping=config.training.early_stopping,
    )
