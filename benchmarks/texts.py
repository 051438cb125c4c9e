"""The texts on which the settings for `auto` are judged, written to a folder.

    python benchmarks/texts.py FOLDER [--corpora ../shared/data]

The notes are made here, by chance from our own words, and so is the newspaper that ships in data/;
the pages are this project's own. The others are cut from public corpora if they lie in CORPORA
(data/README.md says where they come from), and code is that of the Python that runs this. A text
that cannot be made is left out.
"""

import argparse
import random
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent


def _words(text: str) -> list[str]:
    return [word.replace("_", " ") for word in text.split()]


PEOPLE = _words(
    """Anna Bernd Carla Dora Elif Farid Gwen Henk Ines Jonas Katya Leo Mira Noah Olga Petra
Quentin Rosa Samir Tilda Ulrich Vera Wanda Xenia Yusuf Zoe Aunt_May Dr._Falk Mr._Oduya
Mrs._Lindqvist the_landlord the_neighbours my_sister the_plumber"""
)
PLACES = _words(
    """library office garage Harbour_Street station Lisbon Ghent Room_14 allotment cellar
clinic kitchen school_hall market bakery lake_hut town_hall workshop Oslo post_office"""
)
THINGS = _words(
    """kettle bicycle lease invoice passport soldering_iron curtain_rail tent violin printer
thesis slide_deck recipe router compost seed_list boiler ladder camera sourdough backup tax_form
spare_key fence gutter lawnmower piano_stool bookshelf contract questionnaire poster microscope
sample_box timetable insurance_letter phone_charger raincoat chess_set dishwasher hard_disk
garden_hose train_ticket visa_form reading_glasses suitcase jigsaw draft_chapter"""
)
QUALITIES = _words(
    """blue broken old new late cheap second-hand heavy missing urgent half-finished green
borrowed wet fragile noisy expensive decent dusty unreadable wrong lovely tiny rusty"""
)
ACTIONS = _words(
    """repair return order clean measure describe copy photograph sell borrow move label
paint send check replace collect print sharpen cancel renew sort find weigh wrap test"""
)
FOODS = _words(
    """lentils rye_bread olive_oil 6_eggs oats onions coffee yoghurt tinned_tomatoes ginger
butter red_peppers rice apples garlic candles dish_soap batteries walnuts chickpeas honey kale
lemons flour mustard soy_sauce dark_chocolate leeks pasta raisins stamps light_bulbs"""
)
TOPICS = _words(
    """rent holidays the_garden the_merger grandfather's_letters swimming exam_dates birds
the_new_trains mortgages the_choir noise_at_night vaccination the_allotment_rules recursion
glaciers bread what_to_read_next the_election parking home_insulation sleep the_reunion"""
)
VERBS = _words(
    """called wrote complained laughed apologised insisted explained hinted claimed dreamed
suggested worried promised joked reported decided"""
)
FEELINGS = _words(
    """tired rather_pleased annoyed relieved not_convinced hopeful hungry restless curious
proud puzzled homesick in_a_good_mood cold nervous grateful sceptical"""
)
WEATHER = _words(
    """rain fog bright_sun first_frost wind_from_the_east thunder_after_lunch drizzle snow
a_clear_sky heat hail mist_on_the_river"""
)
IDEAS = _words(
    """memory_is_mostly_reconstruction nobody_reads_the_second_page small_steps_beat_plans
every_map_leaves_something_out silence_is_an_answer_too a_list_is_not_a_plan
good_tools_disappear_in_the_hand one_should_walk_before_deciding maybe_the_question_is_wrong
the_first_version_teaches_most cold_water_wakes_the_mind habits_are_frozen_decisions"""
)
ONSETS = _words("b br ch d dr f g gl h j k kl l m n p pl r s sh sk st t tr v w z")
RIMES = _words("a al an ar ath e el en er et i in is it o ol on or u un us y ai eau ow ing")
MONTHS = _words("""Jan Feb March April May June July Aug Sept Oct Nov Dec""")
DAYS = _words("""Mon Tue Wed Thu Fri Sat Sun""")
CLAUSES = (
    "{who} {verb} about {topic}",
    "the {thing} is {quality} again",
    "I was {feeling}",
    "we should {act} the {quality} {thing}",
    "{who} wants to {act} a {thing}",
    "nobody at the {place} had seen the {thing}",
    "it cost {money}, which is {quality}",
    "{who} and {who} met at the {place}",
    "I keep forgetting {topic}",
    "{idea}",
    "there was {weather} until {time}",
    "I dreamed of a {quality} {thing} in {place}",
    "reading about {topic} makes me {feeling}",
)
LINES = (
    "- [ ] {act} the {thing} ({who}, by {date})",
    "- [x] {act} {quality} {thing}",
    "- {food}, {food}, {food}",
    "TODO {act} the {thing} before {date}!!",
    "call {who} re {topic}: {phone}",
    "{time} {place}, with {who}",
    "? {topic}",
    "{clause}.",
    "{clause}, and {clause}.",
    "{clause} because {clause}.",
    "{clause}; {clause}. {clause}.",
    "Not sure if {clause}. But {clause}...",
    '"{idea}" ({who})',
    "{thing}: {money} at the {place}, {money} online",
    "{who}: {clause}, {clause}",
    "idea: {idea}, so {act} less, {act} more",
    "ask {who} whether {clause}",
    "{date}: {weather}. {clause}.",
)
HEADINGS = (
    "## {day} {date}",
    "{date}, {place}",
    "Meeting {who} / {who}, {time}",
    "Shopping",
    "{topic}",
    "Week {week}",
)


def notes(characters: int, seed: int = 1) -> str:
    """Notes as people keep them: headings, to-dos, lists, half sentences, names and dates.

    Which people and topics turn up changes from page to page, so that the end of the text differs
    a little from its beginning, as with real notes.
    """
    chance = random.Random(seed)
    pages: list[str] = []
    length = 0
    while length < characters:
        page = "\n".join(_page(chance)) + "\n\n"
        pages.append(page)
        length += len(page)
    return "".join(pages)[:characters]


def _page(chance: random.Random) -> Iterator[str]:
    near = {name: chance.sample(words, 4) for name, words in _WORDS.items()}
    for name in ("who", "place", "topic", "thing"):  # of whom and what nobody has heard before
        near[name] += [_invented(chance, name in ("who", "place")) for _ in range(2)]
    yield _fill(chance.choice(HEADINGS), near, chance)
    for _ in range(chance.randint(2, 9)):
        line = _fill(chance.choice(LINES), near, chance)
        plain = line[0] in "-?T"
        line = " ".join(_hasty(word, chance) for word in line.split(" "))
        yield line if plain or chance.random() < 0.4 else line[0].upper() + line[1:]


def _invented(chance: random.Random, capital: bool) -> str:
    word = "".join(
        chance.choice(ONSETS) + chance.choice(RIMES) for _ in range(chance.randint(2, 3))
    )
    return word.capitalize() if capital else word


def _hasty(word: str, chance: random.Random) -> str:
    """Now and then a word is cut short, written without vowels, or with two letters swapped."""
    if len(word) < 5 or not word.isalpha() or chance.random() > 0.12:
        return word
    place = chance.randint(1, len(word) - 2)
    swapped = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    bare = word[0] + "".join(letter for letter in word[1:] if letter not in "aeiou")
    return chance.choice((swapped, bare, word[: place + 2] + "."))


_WORDS = {
    "who": PEOPLE,
    "place": PLACES,
    "thing": THINGS,
    "quality": QUALITIES,
    "act": ACTIONS,
    "food": FOODS,
    "topic": TOPICS,
    "verb": VERBS,
    "feeling": FEELINGS,
    "weather": WEATHER,
    "idea": IDEAS,
    "clause": list(CLAUSES),
}


def _fill(pattern: str, near: dict[str, list[str]], chance: random.Random) -> str:
    """The pattern with each {name} replaced, by a word of this page more often than not."""
    while "{" in pattern:
        before, rest = pattern.split("{", 1)
        name, after = rest.split("}", 1)
        pattern = before + _word(name, near, chance) + after
    return pattern


def _word(name: str, near: dict[str, list[str]], chance: random.Random) -> str:
    if name in _NUMBERS:
        return _NUMBERS[name](chance)
    words = near[name] if chance.random() < 0.6 else _WORDS[name]
    return chance.choice(words)


_NUMBERS: dict[str, Callable[[random.Random], str]] = {
    "date": lambda chance: f"{chance.randint(1, 28)} {chance.choice(MONTHS)}",
    "day": lambda chance: chance.choice(DAYS),
    "time": lambda chance: f"{chance.randint(7, 21)}:{chance.choice(('00', '15', '30', '45'))}",
    "money": lambda chance: f"{chance.randint(2, 400)}.{chance.randint(0, 9)}0",
    "phone": lambda chance: f"0{chance.randint(10, 99)} {chance.randint(1000, 99999)}",
    "week": lambda chance: str(chance.randint(1, 52)),
}


def pages(characters: int) -> str:
    """What this project says of itself: real prose of ours, full of lists, names and figures."""
    top = HERE.parent
    files = [top / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    files += [top / "docs" / f"{name}.md" for name in ("api", "derivation", "look", "reliability")]
    return "".join(file.read_text("utf-8") for file in files)[:characters]


def python_code(characters: int) -> str:
    """Modules of this Python's standard library in the order of their names."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(folder.glob("*.py"))
    return "\n".join(file.read_text("utf-8") for file in files)[-characters:]


def _cut(name: str, start: int, characters: int | None) -> Callable[[Path], str]:
    def read(corpora: Path) -> str:
        text = (corpora / name).read_text("utf-8")[start:]
        return text if characters is None else text[:characters]

    return read


TEXTS: dict[str, Callable[[Path], str]] = {
    "notes-60k": lambda corpora: notes(60_000),
    "pages-60k": lambda corpora: pages(60_000),
    "prose-60k": _cut("warpeace.txt", 900_000, 60_000),
    "prose-100k": _cut("warpeace.txt", 1_500_000, 100_000),
    "plays-300k": _cut("tinyshakespeare.txt", 300_000, 300_000),
    "plays-1m": _cut("tinyshakespeare.txt", 0, None),
    "newspaper-1m": lambda corpora: (HERE.parent / "data" / "harbour.txt").read_text("utf-8"),
    "prose-3m": _cut("warpeace.txt", 0, None),
    "russian-600k": _cut("tolstoy_voina_i_mir_ru.txt", 500_000, 600_000),
    "russian-3m": _cut("tolstoy_voina_i_mir_ru.txt", 0, None),
    "code-500k": lambda corpora: python_code(500_000),
    "emoji-600k": _cut("emoji_test.txt", 0, None),
}


def write_texts(folder: Path, corpora: Path, names: list[str] | None = None) -> list[Path]:
    """Those of `TEXTS` that can be made here, each a file NAME.txt; those that stand stay."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names or list(TEXTS):
        path = folder / f"{name}.txt"
        try:
            if not path.exists():
                path.write_text(TEXTS[name](corpora), "utf-8", newline="")
        except FileNotFoundError:
            continue
        written.append(path)
    return written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--corpora", type=Path, default=HERE.parent.parent / "shared" / "data")
    options = parser.parse_args()
    for path in write_texts(options.folder, options.corpora):
        text = path.read_text("utf-8")
        print(f"{path.name:20} {len(text):9,} characters, {len(set(text)):5,} different")


if __name__ == "__main__":
    main()
