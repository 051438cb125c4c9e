"""Settings that fit a text: usable for every text, and monotone where they should be."""

from itertools import pairwise, product

import pytest

from charlstm.config.fitting import (
    NOMINAL_SPEED,
    Course,
    Sizes,
    Text,
    course,
    nominal_work,
    sizes,
    work_per_character,
)

LENGTHS = (2, 50, 513, 5_000, 54_000, 90_000, 270_000, 1_003_854, 2_700_000, 90_000_000, 10**10)
SYMBOLS = (1, 27, 65, 256, 257, 1522, 40_000)
WORKS = (None, 1e6, 10 * NOMINAL_SPEED, 180 * NOMINAL_SPEED, 1e6 * NOMINAL_SPEED)
CASES = list(product(LENGTHS, SYMBOLS, WORKS))


def text_of(characters: int, symbols: int = 65) -> Text:
    return Text(characters, characters // 9, symbols)


def fit(text: Text, work: float | None) -> tuple[Sizes, Course]:
    found = sizes(text, work=work)
    return found, course(text, found, work=work)


@pytest.mark.parametrize(("characters", "symbols", "work"), CASES)
def test_every_text_gets_settings_that_can_be_used(characters, symbols, work):
    text = text_of(characters, symbols)
    found, way = fit(text, work)
    assert found.batch_size * found.sequence_length < max(2, characters)
    assert min(found.layers, found.hidden_size, found.batch_size, found.sequence_length) >= 1
    assert 0 <= way.dropout < 1
    assert 0 <= way.warmup_steps < way.steps
    assert 0 < way.minimum < way.learning_rate
    assert 1 <= way.evaluate_every <= way.steps
    assert 0 <= way.evaluation_characters < max(1, text.validation)


@pytest.mark.parametrize(("characters", "work"), list(product(LENGTHS, WORKS)))
def test_it_is_evaluated_twenty_times_or_at_every_step(characters, work):
    _, way = fit(text_of(characters), work)
    assert way.evaluate_every == 1 or way.steps // way.evaluate_every >= 20


@pytest.mark.parametrize("characters", LENGTHS)
def test_more_work_never_means_a_smaller_layer_or_a_shorter_reading(characters):
    text = text_of(characters)
    fits = [fit(text, seconds * NOMINAL_SPEED) for seconds in (2, 10, 60, 180, 600, 3600)]
    assert all(a.hidden_size <= b.hidden_size for (a, _), (b, _) in pairwise(fits))


@pytest.mark.parametrize("symbols", SYMBOLS)
def test_a_longer_text_never_gets_a_smaller_layer(symbols):
    widths = [sizes(text_of(n, symbols)).hidden_size for n in LENGTHS]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


@pytest.mark.parametrize("work", [60 * NOMINAL_SPEED, 180 * NOMINAL_SPEED])
def test_a_long_text_takes_the_work_it_was_given(work):
    text = text_of(1_003_854)
    found, way = fit(text, work)
    read = way.steps * found.batch_size * found.sequence_length
    assert read * work_per_character(found, text.symbols) == pytest.approx(work, rel=0.01)


def test_a_long_text_gets_a_layer_that_can_read_it_once():
    work = 180 * NOMINAL_SPEED
    usual, found = sizes(text_of(1_003_854), work=work), sizes(text_of(2_700_000), work=work)
    assert usual.hidden_size == 448
    assert found.hidden_size == 384
    slow = sizes(text_of(2_700_000), work=work / 2)
    assert slow.hidden_size == 320
    longest = sizes(text_of(10**10), work=work)
    assert longest.hidden_size == 384  # seven and a half characters for each weight, and no more


def test_a_text_that_is_read_a_few_times_is_learned_from_at_a_higher_rate():
    text = text_of(270_000)
    own = sizes(text)._replace(hidden_size=512)
    per_pass = text.characters * work_per_character(own, text.symbols)
    rates = [course(text, own, work=n * per_pass).learning_rate for n in (1, 3.9, 4.1, 12)]
    assert rates == [0.0051, 0.0051, 0.0039, 0.0039]


def test_a_short_text_ends_before_its_time():
    text = text_of(54_000)
    found, way = fit(text, 3600 * NOMINAL_SPEED)
    read = way.steps * found.batch_size * found.sequence_length
    assert read * work_per_character(found, text.symbols) < 120 * NOMINAL_SPEED


def test_the_fewer_the_passes_the_less_is_dropped():
    rates = [fit(text_of(n), 180 * NOMINAL_SPEED)[1].dropout for n in LENGTHS[4:]]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] >= 0.4
    assert rates[-1] <= 0.05


def test_where_few_weights_read_a_long_text_next_to_nothing_is_dropped():
    text = text_of(2_600_000)
    narrow, wide = (sizes(text)._replace(hidden_size=H) for H in (64, 1024))
    assert course(text, narrow, steps=30_000).dropout <= 0.02
    assert course(text, wide, steps=30_000).dropout == 0.6


def test_a_narrow_layer_may_read_a_text_as_often_as_it_likes():
    text = text_of(2_600_000)
    narrow, wide = (sizes(text)._replace(hidden_size=H, batch_size=8) for H in (86, 1024))
    work = 100 * text.characters * work_per_character(narrow, text.symbols)
    passes = course(text, narrow, work=work).steps * 8 * 64 / text.characters
    assert passes == pytest.approx(100, rel=0.01)
    passes = course(text, wide, work=1e6 * NOMINAL_SPEED).steps * 8 * 64 / text.characters
    assert passes == pytest.approx(12, rel=0.01)


def test_sizes_that_the_user_chose_are_taken_as_they_are():
    text = text_of(1_003_854)
    own = sizes(text)._replace(hidden_size=128, batch_size=20)
    way = course(text, own, work=40 * NOMINAL_SPEED)
    read = way.steps * 20 * own.sequence_length
    assert read * work_per_character(own, 65) == pytest.approx(40 * NOMINAL_SPEED, rel=0.01)


def test_without_validation_text_nothing_stops_early():
    text = Text(54_000, 0, 65)
    assert course(text, sizes(text)).early_stopping == 0


def test_what_is_read_a_few_times_only_is_read_to_the_end():
    text = text_of(270_000)
    own = sizes(text)
    per_pass = text.characters * work_per_character(own, text.symbols)
    patience = [course(text, own, work=n * per_pass).early_stopping for n in (0.5, 3.9, 4.1, 12)]
    assert patience == [0, 0, 6, 6]


def test_every_text_is_embedded_and_many_symbols_in_more_numbers():
    few, many = sizes(text_of(540_000, 65)), sizes(text_of(540_000, 1522))
    assert 0 < few.embedding_size < many.embedding_size < few.hidden_size


def test_work_counts_every_product_of_a_step():
    own = Sizes("lstm", 3, 7, 5, 2, 4)
    forward = 4 * 7 * (5 + 7) + 2 * 4 * 7 * (7 + 7) + 7 * 11
    assert work_per_character(own, 11) == 3 * forward
    one_hot, longer = own._replace(embedding_size=0), own._replace(sequence_length=6)
    assert work_per_character(one_hot, 11) == 3 * (forward - 4 * 7 * 5)
    assert work_per_character(longer, 11) == 3 * (forward - 4 * 7 * 5)
    skipping = own._replace(skips=True)
    assert work_per_character(skipping, 11) == 3 * (forward + 2 * 4 * 7 * 5 + 2 * 7 * 11)


def test_a_run_without_budget_takes_minutes_up_to_ten_megabytes_and_never_hours():
    seconds = [nominal_work(text_of(n)) / NOMINAL_SPEED for n in LENGTHS]
    assert seconds == sorted(seconds)
    assert max(s for n, s in zip(LENGTHS, seconds, strict=True) if n < 10_000_000) <= 1200
    assert max(seconds) <= 3600


def test_items_are_read_whole_in_as_many_more_lanes():
    text = Text(1_000_000, 100_000, 27)
    plain = sizes(text)
    for length, steps in ((5, 16), (16, 16), (32, 32), (500, 64)):
        found = sizes(text._replace(item_length=length))
        assert found.sequence_length == steps
        assert found.batch_size == plain.batch_size * 64 // steps


def test_a_longer_text_is_read_in_more_lanes_where_there_is_time_for_the_updates():
    lanes = [sizes(text_of(n)).batch_size for n in (54_000, 270_000, 1_003_854, 100_000_000)]
    assert lanes == [16, 16, 32, 128]
    seconds = (1, 30, 180, 900, 3600)
    lanes = [sizes(text_of(10**8), work=s * NOMINAL_SPEED).batch_size for s in seconds]
    assert lanes == [32, 32, 32, 64, 128]
    many = [sizes(text_of(540_000, n), work=180 * NOMINAL_SPEED) for n in (256, 257)]
    assert [each.batch_size for each in many] == [32, 16]


def test_a_short_list_is_read_in_no_more_lanes_than_its_length_asks_for():
    lanes = [
        sizes(Text(n, n // 9, 27, item_length=9)).batch_size for n in (12_600, 37_800, 180_000)
    ]
    assert lanes == [16, 32, 64]
