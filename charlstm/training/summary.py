"""What is said of a run at its end: its loss beside those of simple methods, and a sample."""

import shlex
from collections.abc import Iterator

from charlstm.config.fitting import Text
from charlstm.from_config import item_rules_of
from charlstm.messages import printable, show
from charlstm.nn.loss import bits
from charlstm.nn.model import CharLM
from charlstm.saved.checkpoint import LoadedModel, load_model
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.text.baselines import (
    MOST_TRAINING,
    MOST_VALIDATION,
    Baseline,
    at_most,
    baselines,
    baselines_of_items,
    excerpt,
)
from charlstm.text.items import Items
from charlstm.training.dataset import Dataset
from charlstm.training.samples import sample
from charlstm.training.setup import evaluation_on_validation


def summary(dataset: Dataset, progress: Progress, folder: RunFolder) -> Iterator[str]:
    """Lines for a reader."""
    loaded = load_model(folder.path)
    if progress.best_val_loss is not None:
        whole = not dataset.config.evaluation.characters
        loss = progress.best_val_loss if whole else loss_on_all(dataset, loaded.model)
        yield from comparison(dataset, loss)
    yield "A sample:"
    yield printable(sample_of(dataset, loaded), keep="\n\t")
    run = shlex.quote(show(folder.path))
    text = shlex.quote(show(dataset.corpus.files[0]))
    yield f"Its curves: charlstm report {run} -o report.html"
    yield f"Its cells:  charlstm look {run} {text} -o page.html"


def loss_on_all(dataset: Dataset, model: CharLM) -> float:
    """Of the best model, where the evaluations on the way read a part of the validation part."""
    return evaluation_on_validation(dataset, model, Alone()).mean_loss()


def comparison(dataset: Dataset, loss: float) -> Iterator[str]:
    """Bits per character of ever better methods; ``loss`` is the model's, in nats."""
    unit = dataset.corpus.vocabulary.unit
    used, simple = _simple_methods(dataset)
    head = f"Bits per {unit.removesuffix('s')} on the validation part"
    less = used.characters < dataset.text.characters or used.validation < dataset.text.validation
    if less:
        head += (
            f" (simple methods: on its first {used.validation:,} {unit},"
            f" after {used.characters:,} of the training part)"
        )
    yield f"{head}:"
    for baseline in simple:
        yield f"  {baseline.bits:6.3f}  {baseline.name}"
    yield f"  {bits(loss):6.3f}  this model"
    if dataset.source_bits is not None:
        yield f"  {dataset.source_bits:6.3f}  the source of the text: no model can do better"


def _simple_methods(dataset: Dataset) -> tuple[Text, Iterator[Baseline]]:
    """How much of both parts they are given, and what they make of it."""
    vocabulary, train, validation = dataset.corpus.vocabulary, dataset.train, dataset.validation
    if isinstance(train, Items) and isinstance(validation, Items):
        train, validation = at_most(train, MOST_TRAINING), at_most(validation, MOST_VALIDATION)
        used = Text(train.predictions, validation.predictions, vocabulary.size)
        return used, baselines_of_items(train, validation, vocabulary)
    assert not isinstance(train, Items), "both parts are items, or none"
    assert not isinstance(validation, Items)
    parts = excerpt(train, validation)
    used = Text(len(parts.train), len(parts.validation), vocabulary.size)
    return used, baselines(parts, vocabulary)


def sample_of(dataset: Dataset, loaded: LoadedModel) -> str:
    """What the best model writes, with the run's seed."""
    config = dataset.config
    length, rules = config.output.sample_length, item_rules_of(config)
    return "".join(sample(loaded.model, loaded.vocabulary, rules, length, config.seed))
