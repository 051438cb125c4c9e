"""What `charlstm.load` returns: a model that writes, and says how well it predicts.

Everything a user can cause is raised as a `charlstm.errors.UserError`, whose text is one line.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Unpack

import numpy as np

from charlstm.config.settings import Config
from charlstm.errors import ConfigError, FileError
from charlstm.from_config import text_rules_of
from charlstm.look.classifying import classify_strings
from charlstm.look.item_originality import ItemOriginality, item_originality
from charlstm.look.item_scores import ItemScore, score_strings
from charlstm.look.originality import Originality, originality
from charlstm.look.score import Score, exact_losses, text_to_score
from charlstm.nn.pace import Pace
from charlstm.saved.checkpoint import LoadedModel
from charlstm.saved.interchange.exporting import export
from charlstm.text.encoding import decode_stream, encode_string
from charlstm.text.vocabulary import Ids, Vocabulary
from charlstm.writing.following import Next, To, following
from charlstm.writing.items import Item, ItemWriter, Selection
from charlstm.writing.options import Options, SampleOptions
from charlstm.writing.start import start_of
from charlstm.writing.texts import writer_for

Name = str | PathLike[str]

MOST_TEXTS = 100_000
USUAL_PACE = Pace()


class Model:
    """A trained model. Made by `load`; nothing changes it, and every call starts afresh.

    The vocabulary's ``size`` is that of the model's input and output.

    >>> import charlstm
    >>> model = charlstm.load("runs/abc")
    >>> model.config.model.cell
    'lstm'
    >>> model.vocabulary.size
    4
    """

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded

    def __repr__(self) -> str:
        model = self.config.model
        return (
            f"<Model {self.path}: {model.cell} {model.layers} x {model.hidden_size},"
            f" {self.vocabulary.size} {self.vocabulary.unit}, step {self.step}>"
        )

    @property
    def path(self) -> Path:
        """The file that was read."""
        return self.loaded.path

    @property
    def config(self) -> Config:
        return self.loaded.config

    @property
    def vocabulary(self) -> Vocabulary:
        return self.loaded.vocabulary

    @property
    def step(self) -> int:
        """How many steps of training the model has had."""
        return self.loaded.progress.step

    def sample(
        self,
        prompt: str | bytes = "",
        *,
        length: int = 500,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | None = None,
        stop: str | None = None,
        only: str | None = None,
        ban: str = "",
        match: str | None = None,
        min_length: int | None = None,
        label: str | None = None,
        skip_unknown: bool = False,
        errors: str = "replace",
    ) -> str:
        """``length`` characters that follow ``prompt``, or a line end if there is none. A prompt of
        bytes is for a model of bytes, or UTF-8.

        ``temperature``: below 1 safer, above 1 wilder; 0 always takes the likeliest. ``top_k``:
        choose among the k likeliest characters (0: all); ``top_p``: among the likeliest that
        together have probability p. ``seed`` repeats a text; None draws one. ``stop``: end before
        this text. ``only`` these characters, or none of ``ban``; ``match``: what is written matches
        this regular expression as a whole, with at least ``min_length`` characters (extra:
        patterns; docs/sampling.md). A model of a list writes an item, which ends by itself, of this
        ``label`` where items have labels. Characters of the prompt that the model does not know
        raise `UnknownCharacterError`, or are left out with ``skip_unknown``. ``errors``: as of
        `bytes.decode`, for what a model of bytes writes that is no UTF-8.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc")
        >>> model.sample("ab", length=7, temperature=0)
        'cabcabc'
        >>> set(model.sample("ab", length=7, only="bc")) <= {"b", "c"}
        True
        >>> model.sample("ab", length=7, seed=1) == model.sample("ab", length=7, seed=1)
        True
        """
        pieces = self.stream(
            prompt,
            length=length,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            seed=seed,
            stop=stop,
            only=only,
            ban=ban,
            match=match,
            min_length=min_length,
            label=label,
            skip_unknown=skip_unknown,
            errors=errors,
        )
        return "".join(pieces)

    def stream(self, prompt: str | bytes = "", **options: Unpack[SampleOptions]) -> Iterator[str]:
        """What `sample` returns, with the same options, piece by piece while it is made.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc")
        >>> list(model.stream("c", length=3, temperature=0))
        ['a', 'b', 'c']
        """
        return writer_for(self.loaded, prompt, Options(**options)).stream()

    def samples(
        self, count: int, prompt: str | bytes = "", **options: Unpack[SampleOptions]
    ) -> list[str]:
        """``count`` texts at once, with the options of `sample`; much faster than one by one.

        Each has draws of its own. The first is what `sample` makes of the same seed.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc")
        >>> model.samples(2, "a", length=5, temperature=0)
        ['bcabc', 'bcabc']
        """
        if not 1 <= count <= MOST_TEXTS:
            raise ConfigError(f"sampling: 1 to {MOST_TEXTS:,} texts at once")
        return list(self.iter_samples(count, prompt, **options))

    def iter_samples(
        self, count: int, prompt: str | bytes = "", **options: Unpack[SampleOptions]
    ) -> Iterator[str]:
        """What `samples` returns; made in groups, so that any ``count`` takes no more memory.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc")
        >>> endless = model.iter_samples(1_000_000_000, "a", length=5, temperature=0)
        >>> next(endless)
        'bcabc'
        """
        return writer_for(self.loaded, prompt, Options(**options)).texts(count)

    def items(
        self,
        count: int,
        prompt: str | bytes = "",
        *,
        selection: Selection | None = None,
        **options: Unpack[SampleOptions],
    ) -> Iterator[Item]:
        """``count`` items of a model of a list, with the options of `sample`: what they say, their
        bits, and whether they ended by themselves; as many as you like in bounded memory. A
        ``selection`` may want them new, and each once.

        >>> import charlstm
        >>> charlstm.load("runs/abc").items(3)
        Traceback (most recent call last):
        charlstm.errors.ConfigError: this is a model of one text, not of a list of items
        """
        return ItemWriter(self.loaded, prompt, Options(**options), selection).items(count)

    def next(
        self, text: str = "", *, top: int = 10, to: To = "word", label: str | None = None
    ) -> Next:
        """The likeliest characters after ``text``, and the likeliest completions ``to`` the end of
        the "word" or the "line", ``top`` of each at most, with their probabilities; of a list with
        labels, in an item of this ``label``.

        >>> import charlstm
        >>> expected = charlstm.load("runs/abc").next("abcab", top=2)
        >>> expected.characters[0].text, expected.characters[0].probability > 0.5
        ('c', True)
        >>> [completion.probability < 1 for completion in expected.completions]
        [True, True]
        """
        return following(self.loaded, text, top=top, to=to, label=label)

    def score(self, text: str | bytes, *, adapt: bool = False, pace: Pace = USUAL_PACE) -> Score:
        """How well the model predicts ``text``: each character but the first, exactly.

        The text is read as files are: its line ends, its normalization and its rare characters
        are treated as ``config.data`` says; bytes are for a model of bytes, or UTF-8. Raises
        `UnknownCharacterError` for characters the model does not know, `FileError` for fewer than
        two characters.

        With ``adapt`` the model goes on learning from what it has read, at a `Pace`; each character
        is predicted before it is learned from. Raises `DivergedError` if that is too fast.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc")
        >>> score = model.score("abcabcabb")
        >>> score.nats.shape
        (8,)
        >>> int(score.bits.argmax()) + 1  # the last b is not what the model expects
        8
        >>> len(score.bits) * score.bits_per_character > float(score.bits.max())
        True
        >>> news = "abb" * 50
        >>> model.score(news, adapt=True).bits_per_character < model.score(news).bits_per_character
        True
        """
        ids = self._encode(text)
        losses = (
            self.loaded.adapted_losses(ids, pace)
            if adapt
            else exact_losses(self.loaded.predictor, ids)
        )
        return Score(ids, self.vocabulary, np.concatenate(list(losses)))

    def adapted(self, text: str | bytes, pace: Pace = USUAL_PACE) -> "Model":
        """Another model: this one, after it has read and learned from ``text``, as with `score`.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc")
        >>> adapted = model.adapted("abb" * 50)
        >>> adapted.score("abbabb").bits_per_character < model.score("abbabb").bits_per_character
        True
        """
        return Model(self.loaded.adapted(self._encode(text), pace))

    def adapted_to(self, path: Name, pace: Pace = USUAL_PACE) -> "Model":
        """As `adapted`, of the text in a file.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc").adapted_to("abc.txt")
        >>> model.path.name
        'best.safetensors'
        """
        return Model(self.loaded.adapted(text_to_score([Path(path)], self.loaded).ids, pace))

    def originality(
        self,
        texts: Sequence[str] | None = None,
        *,
        text: Sequence[Name] = (),
        count: int = 1000,
        **options: Unpack[SampleOptions],
    ) -> Originality | ItemOriginality:
        """How much of ``texts`` stands word for word in the text that the model learned from, and
        how much of its validation part does. Without ``texts``, of ``count`` that are made with the
        options of `sample`.

        Of a model of a list each text is an item, and found as a whole: see `ItemOriginality`.

        ``text``: the files of the training text, where it is not where the run found it. Raises
        `FileError` for any other.

        >>> import charlstm
        >>> model = charlstm.load("runs/abc")
        >>> found = model.originality(["abcabcabcabcabcabcabcabc", "abcabcabcabcbbbbcabcabcabcabc"])
        >>> found.samples.longest, round(found.samples.shares[20], 2)
        (24, 0.33)
        """
        if self.loaded.others:
            raise FileError("only one model at a time can be asked for originality; load one")
        if texts is None:
            options.setdefault("errors", "surrogateescape")
            texts = list(self.iter_samples(count, **options))
        look = originality if self.config.data.items == "none" else item_originality
        return look(self.loaded, texts, [Path(name) for name in text])

    def score_items(self, texts: Sequence[str]) -> list[ItemScore]:
        """How well a model of a list predicts each of ``texts``, its end included: alone, from a
        state of zero, with its rank by bits a character (1: the most surprising).

        >>> import charlstm
        >>> names = charlstm.load("runs/names")
        >>> scores = names.score_items(["abc", "cab", "c"])
        >>> [score.characters for score in scores]
        [4, 4, 2]
        >>> scores[0].bits < scores[2].bits  # c is none of the names
        True

        Raises `FileError` for a model of one text, and for a text that holds what ends an item;
        `UnknownCharacterError` for characters that the model does not know.
        """
        return score_strings(self.loaded, texts)

    def classify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """The probability of each label for each of ``texts``, by a model of a list with labels.

        By Bayes' rule from the model's own bits and the labels' shares, see docs/items.md.

        >>> import charlstm
        >>> [found] = charlstm.load("runs/labelled").classify(["abab"])
        >>> sorted(found), round(sum(found.values()), 6)
        (['ab', 'ba'], 1.0)

        Raises `FileError` for a model without labels, and else as `score_items`.
        """
        if not texts:
            return []
        found = classify_strings(self.loaded, texts)
        rows = found.probabilities.tolist()
        return [dict(zip(found.labels, row, strict=True)) for row in rows]

    def export(self, path: Name, format: str | None = None, *, weights: str | None = None) -> None:
        """Write the model for other programs: ``safetensors``, ``torch``, ``onnx`` or ``npz``; or
        ``html``, a page that writes, its ``weights`` in ``float16`` or ``int8``.

        Without a ``format`` the suffix of ``path`` decides. See docs/interchange.md, docs/page.md.

        >>> import charlstm
        >>> charlstm.load("runs/abc").export("abc.npz")
        >>> charlstm.load("runs/abc").export("abc.html", weights="int8")
        """
        if self.loaded.others:
            raise FileError("only one model at a time can be exported; load one")
        export(self.loaded, Path(path), format, weights)

    def start(self, prompt: str | bytes, *, skip_unknown: bool = False) -> Ids:
        """The ids that the model reads before it writes; those of a line end without a prompt."""
        return start_of(self.loaded, prompt, skip_unknown=skip_unknown)

    def _encode(self, text: str | bytes) -> Ids:
        """The ids of a text to be read, as files are."""
        if self.config.data.items != "none":
            raise FileError(f"{self.path}: reads a list; score_items takes its items")
        if isinstance(text, bytes):
            text = decode_stream(text, self.vocabulary.unit, "the text")
        ids = encode_string(text, self.vocabulary, text_rules_of(self.config))
        if len(ids) < 2:
            unit = self.vocabulary.unit
            raise FileError(f"a text of {len(ids)} {unit}: there is nothing to predict")
        return ids
