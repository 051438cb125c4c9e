"""What is said of a run at its end: its loss beside those of simple methods, and a sample."""

import shlex
from collections.abc import Iterator

from charlstm.messages import printable, show
from charlstm.nn.loss import bits
from charlstm.nn.model import CharLM
from charlstm.nn.sampling import Choice, generate
from charlstm.saved.checkpoint import LoadedModel, load_model
from charlstm.saved.progress import Progress
from charlstm.saved.run_folder import RunFolder
from charlstm.system.comm import Alone
from charlstm.text.baselines import baselines, excerpt
from charlstm.training.dataset import Dataset
from charlstm.training.evaluation import LaneEvaluation


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
    training = dataset.config.training
    lanes, steps = training.batch_size, training.sequence_length
    return LaneEvaluation(model, dataset.validation, lanes, steps, Alone()).mean_loss()


def comparison(dataset: Dataset, loss: float) -> Iterator[str]:
    """Bits per character of ever better methods; ``loss`` is the model's, in nats."""
    parts = excerpt(dataset.train, dataset.validation)
    unit = dataset.corpus.vocabulary.unit
    used = f"Bits per {unit.removesuffix('s')} on the validation part:"
    if len(parts.train) < len(dataset.train) or len(parts.validation) < len(dataset.validation):
        used = (
            f"{used.rstrip(':')} (simple methods: on its first {len(parts.validation):,} {unit},"
            f" after {len(parts.train):,} of the training part):"
        )
    yield used
    for baseline in baselines(parts, dataset.corpus.vocabulary):
        yield f"  {baseline.bits:6.3f}  {baseline.name}"
    yield f"  {bits(loss):6.3f}  this model"
    if dataset.source_bits is not None:
        yield f"  {dataset.source_bits:6.3f}  the source of the text: no model can do better"


def sample_of(dataset: Dataset, loaded: LoadedModel) -> str:
    """What the best model writes, with the run's seed."""
    ids = generate(
        loaded.model,
        loaded.vocabulary.default_start(),
        count=1,
        length=dataset.config.output.sample_length,
        choice=Choice(),
        seed=dataset.config.seed,
    )
    decoder = loaded.vocabulary.decoder()
    return "".join(decoder.decode(one) for one in ids)
