"""Items made from the tables: countries, elements, words, sequences, small sums."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from training.corpus.content import CONTENT_DIR, Item, read_lists, read_table
from training.corpus.split import held_out

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = (
    "January February March April May June July August September October November December".split()
)
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
)
ARTICLES = ("a ", "an ", "the ")

DO_NOT_KNOW = "I am a small demonstration model and do not know that."

# Sums and differences up to here, and tables up to MAX_FACTOR, are in the domain.
MAX_SUM = 20
MAX_FACTOR = 10
_HELD_OUT_SUMS = 0.05


def capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeio" or noun.startswith("unc") else f"a {noun}"


def countries(directory: Path = CONTENT_DIR) -> list[Item]:
    items: list[Item] = []
    for row in read_table(directory / "countries.tsv"):
        name, capital = row["country"], row["capital"]
        continent, currency = row["continent"], row["currency"]
        items.append(
            Item(
                "capital",
                capital_questions(name),
                (f"Name the capital of {name}.", f"Do you know the capital of {name}?"),
                f"The capital of {name} is {capital.rstrip('.')}.",
                slot=name,
            )
        )
        items.append(
            Item(
                "capital of which",
                (
                    f"{capital} is the capital of which country?",
                    f"Of which country is {capital} the capital?",
                    f"Which country has the capital {capital}?",
                    f"What country is {capital} the capital of?",
                    f"{capital} is the capital of what?",
                    f"{capital} is the capital city of which country?",
                    f"Which country's capital is {capital}?",
                    f"Which country has {capital} as its capital?",
                    f"What country has {capital} as the capital?",
                    f"Name the country whose capital is {capital}.",
                    f"Tell me which country has the capital {capital}.",
                    f"{capital} belongs to which country?",
                    f"In which country is {capital}?",
                    f"The city of {capital} is the capital of which land?",
                ),
                (f"Whose capital is {capital}?", f"The capital of what country is {capital}?"),
                f"{capital} is the capital of {name}.",
            )
        )
        items.append(
            Item(
                "continent",
                (
                    f"On which continent is {name}?",
                    f"What continent is {name} in?",
                    f"Where is {name}?",
                    f"Which continent is {name} on?",
                    f"{capitalized(name)} is on which continent?",
                    f"{capitalized(name)} belongs to which continent?",
                    f"What is the continent of {name}?",
                    f"Name the continent of {name}.",
                    f"Tell me the continent of {name}.",
                    f"Which part of the world is {name} in?",
                    f"On what continent does {name} lie?",
                    f"Where in the world is {name}?",
                    f"Where can I find {name}?",
                    f"Where does {name} lie?",
                    f"Continent of {_bare(name)}?",
                    f"Where is {name} on the map?",
                ),
                (f"To which continent does {name} belong?", f"In what continent is {name}?"),
                f"{capitalized(name)} is in {continent}.",
                slot=name,
            )
        )
        if currency:
            items.append(
                Item(
                    "currency",
                    (
                        f"What is the currency of {name}?",
                        f"Which currency is used in {name}?",
                        f"What currency does {name} use?",
                        f"What money is used in {name}?",
                        f"How do people pay in {name}?",
                        f"What do people pay with in {name}?",
                        f"Currency of {_bare(name)}?",
                        f"{capitalized(name)}'s currency?",
                        f"Which money do people use in {name}?",
                        f"Tell me the currency of {name}.",
                        f"What kind of money does {name} have?",
                        f"What is the money of {name} called?",
                        f"In which currency do you pay in {name}?",
                        f"I travel to {name}. What money do I need?",
                    ),
                    (
                        f"With what currency do people pay in {name}?",
                        f"Name the currency of {name}.",
                    ),
                    f"The currency of {name} is the {currency}.",
                    slot=name,
                )
            )
    return items


def elements(directory: Path = CONTENT_DIR) -> list[Item]:
    items: list[Item] = []
    for row in read_table(directory / "elements.tsv"):
        name, symbol, number = row["element"], row["symbol"], row["number"]
        items += [
            Item(
                "element symbol",
                (
                    f"What is the symbol of {name}?",
                    f"What is the chemical symbol for {name}?",
                    f"Which symbol does {name} have?",
                    f"Symbol of {name}?",
                    f"How do you write {name} as a symbol?",
                    f"What is the sign for {name} in chemistry?",
                    f"Which letters stand for {name}?",
                    f"What are the letters for {name} in the periodic table?",
                    f"How do chemists write {name}?",
                    f"Give me the symbol of {name}.",
                    f"What is {name}'s chemical symbol?",
                    f"Name the symbol of {name}.",
                    f"{capitalized(name)} has which symbol?",
                    f"How is {name} abbreviated?",
                ),
                (f"How is {name} written in chemistry?", f"Tell me the symbol of {name}."),
                f"The symbol of {name} is {symbol}.",
                slot=name,
            ),
            Item(
                "element name",
                (
                    f"Which element has the symbol {symbol}?",
                    f"What element is {symbol}?",
                    f"What does the symbol {symbol} stand for?",
                    f"The symbol {symbol} stands for which element?",
                    f"Which element is written {symbol}?",
                    f"Whose symbol is {symbol}?",
                    f"Tell me the element with the symbol {symbol}.",
                    f"What is the element with the symbol {symbol} called?",
                ),
                (f"Name the element with the symbol {symbol}.",),
                f"{symbol} is {name}.",
            ),
            Item(
                "atomic number",
                (
                    f"What is the atomic number of {name}?",
                    f"Which atomic number does {name} have?",
                    f"Atomic number of {name}?",
                    f"Give me the atomic number of {name}.",
                    f"What number does {name} have in the periodic table?",
                    f"Which number is {name} in the periodic table?",
                ),
                (f"Tell me the atomic number of {name}.",),
                f"The atomic number of {name} is {number}.",
                slot=name,
            ),
        ]
    return items


def capital_questions(name: str) -> tuple[str, ...]:
    """Ways to ask for the capital of a country, or of a place that has none."""
    return (
        f"What is the capital of {name}?",
        f"What is the capital city of {name}?",
        f"Which city is the capital of {name}?",
        f"Tell me the capital of {name}.",
        f"Capital of {_bare(name)}?",
        f"{capitalized(name)}'s capital?",
        f"What's the capital of {name}?",
        f"{capitalized(name)} has which capital?",
        f"What is {name}'s capital?",
        f"Which capital does {name} have?",
    )


def definition_questions(thing: str, verb: str) -> tuple[str, ...]:
    """Ways to ask what a thing is."""
    bare = _bare(thing)
    return (
        f"What {verb} {thing}?",
        f"What's {thing}?" if verb == "is" else f"What {verb} {thing}?",
        f"Define {bare}.",
        f'What does "{bare}" mean?',
        f"What does {bare} mean?",
        f"Explain what {thing} {verb}.",
        f"Explain {bare}.",
        f"What is the meaning of {bare}?",
        f"Meaning of {bare}?",
        f"Describe {thing}.",
        f"Explain the word {bare}.",
        f"Give me a definition of {bare}.",
        f"How would you explain {thing}?",
        f"What do people call {thing}?" if verb == "are" else f"What exactly is {thing}?",
        f"What does the word {bare} mean?",
    )


def definitions(directory: Path = CONTENT_DIR) -> list[Item]:
    items: list[Item] = []
    for line in (directory / "definitions.txt").read_text(encoding="utf-8").splitlines():
        thing, _, meaning = line.partition("|")
        verb = "are" if thing == "stairs" else "is"
        items.append(
            Item(
                "definition",
                tuple(dict.fromkeys(definition_questions(thing, verb))),
                (f"Tell me what {thing} {verb}.", f"Can you tell me what {thing} {verb}?"),
                f"{capitalized(thing)} {verb} {meaning}.",
            )
        )
    return items


def opposites(directory: Path = CONTENT_DIR) -> list[Item]:
    return [
        Item(
            "opposite",
            (
                f"What is the opposite of {row['word']}?",
                f"What's the opposite of {row['word']}?",
                f"Opposite of {row['word']}?",
                f"What is the contrary of {row['word']}?",
                f"Which word is the opposite of {row['word']}?",
                f"Name the opposite of {row['word']}.",
                f"What word means the opposite of {row['word']}?",
                f"{row['word']} - what is the opposite?",
            ),
            (f"Tell me the opposite of {row['word']}.", f"Give me the opposite of {row['word']}."),
            f"The opposite of {row['word']} is {row['opposite']}.",
            slot=row["word"],
        )
        for row in read_table(directory / "opposites.tsv")
    ]


def sequences() -> list[Item]:
    """Days, months, planets, counting."""
    items: list[Item] = []

    def add(questions: Iterable[str], heldout: Iterable[str], answer: str) -> None:
        items.append(Item("sequence", tuple(questions), tuple(heldout), answer))

    for kind, names in (("day", DAYS), ("month", MONTHS)):
        for i, name in enumerate(names):
            after, before = names[(i + 1) % len(names)], names[i - 1]
            add(
                (
                    f"What {kind} comes after {name}?",
                    f"Which {kind} follows {name}?",
                    f"Which {kind} comes after {name}?",
                    f"What is the {kind} after {name}?",
                    f"What {kind} follows {name}?",
                    f"What is the next {kind} after {name}?",
                ),
                (f"Which {kind} comes next after {name}?",),
                f"{after} comes after {name}.",
            )
            add(
                (
                    f"What {kind} comes before {name}?",
                    f"Which {kind} is before {name}?",
                    f"Which {kind} comes before {name}?",
                    f"What is the {kind} before {name}?",
                    f"What {kind} is just before {name}?",
                ),
                (f"Which {kind} comes just before {name}?",),
                f"{before} comes before {name}.",
            )
    for ordinal, month in zip(ORDINALS, MONTHS, strict=True):
        add(
            (
                f"What is the {ordinal} month?",
                f"Which month is the {ordinal} month of the year?",
                f"What is the {ordinal} month of the year?",
                f"Which is the {ordinal} month?",
                f"Tell me the {ordinal} month of the year.",
            ),
            (f"Name the {ordinal} month of the year.",),
            f"{month} is the {ordinal} month of the year.",
        )
    for ordinal, planet in zip(ORDINALS, PLANETS, strict=False):
        add(
            (
                f"What is the {ordinal} planet from the Sun?",
                f"Which planet is the {ordinal} from the Sun?",
                f"Which is the {ordinal} planet from the Sun?",
                f"Tell me the {ordinal} planet from the Sun.",
            ),
            (f"Name the {ordinal} planet from the Sun.",),
            f"{planet} is the {ordinal} planet from the Sun.",
        )
    for last in range(3, 21):
        add(
            (
                f"Count to {last}.",
                f"Can you count to {last}?",
                f"Count from 1 to {last}.",
                f"Count up to {last}.",
                f"Say the numbers from 1 to {last}.",
                f"Could you count to {last}?",
            ),
            (f"Please count up to {last}.",),
            ", ".join(str(n) for n in range(1, last + 1)) + ".",
        )
    return items


def counting() -> list[Item]:
    """Counting from any small number to a larger one; from 1 is among the sequences."""
    items: list[Item] = []
    for first in range(2, 16):
        for last in range(first + 2, min(first + 12, MAX_SUM) + 1):
            asked = (
                f"Count from {first} to {last}.",
                f"Can you count from {first} to {last}?",
                f"Say the numbers from {first} to {last}.",
            )
            answer = ", ".join(str(n) for n in range(first, last + 1)) + "."
            items.append(Item("counting", asked, (), answer))
    return items


def things(directory: Path = CONTENT_DIR) -> list[Item]:
    """Young animals and sounds, colours, and how many parts make a whole."""
    items: list[Item] = []
    for row in read_table(directory / "animals.tsv"):
        animal = row["animal"]
        if row["young"]:
            items.append(
                Item(
                    "things",
                    (
                        f"What is a baby {animal} called?",
                        f"What do you call a baby {animal}?",
                        f"What is a young {animal} called?",
                        f"What is the name of a baby {animal}?",
                        f"What is the baby of {article(animal)} called?",
                        f"What are the young of {article(animal)} called?",
                        f"Name for a baby {animal}?",
                        f"Tell me the word for a baby {animal}.",
                        f"Which word do people use for a young {animal}?",
                    ),
                    (f"How do you call a young {animal}?",),
                    f"A baby {animal} is called a {row['young']}."
                    if row["young"][0] not in "aeiou"
                    else f"A baby {animal} is called an {row['young']}.",
                )
            )
        if row["sound"]:
            items.append(
                Item(
                    "things",
                    (
                        f"What sound does {article(animal)} make?",
                        f"What does {article(animal)} say?",
                        f"What noise does {article(animal)} make?",
                        f"Which sound does {article(animal)} make?",
                        f"What is the sound of {article(animal)}?",
                        f"How does {article(animal)} sound?",
                        f"Sound of {article(animal)}?",
                        f"Tell me the sound of {article(animal)}.",
                        f"What kind of noise comes from {article(animal)}?",
                        f"What do you hear when {article(animal)} calls?",
                        f"{capitalized(article(animal))} says what?",
                    ),
                    (f"Which sound do you hear from {article(animal)}?",),
                    f"{capitalized(article(animal))} says {row['sound']}.",
                )
            )
    for row in read_table(directory / "colors.tsv"):
        thing, color = row["thing"], row["color"]
        items.append(
            Item(
                "things",
                (
                    f"What color is {thing}?",
                    f"Which color is {thing}?",
                    f"What is the color of {thing}?",
                    f"Which color does {thing} have?",
                    f"What color does {thing} have?",
                    f"Name the color of {thing}.",
                    f"Say the color of {thing}.",
                    f"{capitalized(thing)} has what color?",
                    f"Color of {_bare(thing)}?",
                ),
                (f"Tell me the color of {thing}.",),
                f"{capitalized(thing)} is {color}.",
            )
        )
    for row in read_table(directory / "units.tsv"):
        part, whole, count = row["part"], row["whole"], row["count"]
        items.append(
            Item(
                "things",
                (
                    f"How many {part} are in {whole}?",
                    f"How many {part} does {whole} have?",
                    f"How many {part} are there in {whole}?",
                    f"How many {part} make {whole}?",
                    f"{capitalized(whole)} has how many {part}?",
                    f"Number of {part} in {whole}?",
                    f"Count the {part} of {whole}.",
                    f"Tell me how many {part} {whole} has.",
                    f"What number of {part} does {whole} have?",
                    f"How many {part} belong to {whole}?",
                ),
                (f"What is the number of {part} in {whole}?",),
                f"{capitalized(whole)} has {count} {part}.",
            )
        )
    return items


def sums() -> list[Item]:
    """Every sum and difference up to MAX_SUM and the tables up to MAX_FACTOR.

    A few sums are held out whole, with their mirror image: those items have no questions.
    """
    items: list[Item] = []

    def add(left: int, sign: str, right: int, result: int, words: tuple[str, ...]) -> None:
        key = f"{min(left, right)}{sign}{max(left, right)}"
        exercise = f"{left} {sign} {right}"
        questions = (
            f"What is {exercise}?",
            f"{exercise}",
            f"{exercise} = ?",
            f"How much is {exercise}?",
            f"What's {exercise}?",
            f"{left}{sign}{right}",
            f"What is {left}{sign}{right}?",
            f"Calculate {exercise}.",
            f"Work out {exercise}.",
            f"{exercise} is how much?",
            f"What does {exercise} make?",
            f"Solve {exercise}.",
            f"Compute {exercise}.",
            *words,
        )
        unseen = (f"Please calculate {exercise}.", f"Can you tell me what {exercise} is?")
        answer = f"{exercise} = {result}."
        easy = min(left, right) <= 1
        if sign == "+" and not easy and held_out("sum " + key, _HELD_OUT_SUMS):
            items.append(Item("held-out sum", (), questions, answer))
        else:
            items.append(Item("arithmetic", questions, unseen, answer, slot=exercise))

    for a in range(MAX_SUM + 1):
        for b in range(MAX_SUM + 1):
            if a + b <= MAX_SUM:
                add(a, "+", b, a + b, (f"What is {a} plus {b}?", f"Add {a} and {b}."))
            if b <= a:
                add(a, "-", b, a - b, (f"What is {a} minus {b}?", f"Subtract {b} from {a}."))
    for a in range(MAX_FACTOR + 1):
        for b in range(MAX_FACTOR + 1):
            add(a, "*", b, a * b, (f"What is {a} times {b}?", f"Multiply {a} and {b}."))
    return items


def unknowns(directory: Path = CONTENT_DIR) -> list[Item]:
    """Words and places beside the domain, which the model declines."""
    lists = read_lists(directory / "lists.txt")
    items: list[Item] = []
    for heldout in (False, True):
        prefix = "heldout " if heldout else ""
        items += [unknown_thing(t, heldout) for t in lists[prefix + "unknown things"]]
        items += [
            unknown_place(p, heldout) for p in lists[prefix + "places without a known capital"]
        ]
    return items


def unknown_thing(thing: str, heldout: bool = False) -> Item:
    """A thing without a definition, asked for like those that have one."""
    asked = (f"What is {thing}?", f"Explain {_bare(thing)}.", f"What does {_bare(thing)} mean?")
    trained = () if heldout else definition_questions(thing, "is")
    return Item("unknown", trained, asked if heldout else (), DO_NOT_KNOW)


def unknown_place(place: str, heldout: bool = False) -> Item:
    """A place without a known capital, asked for like the countries."""
    asked = (
        f"What is the capital of {place}?",
        f"Which city is the capital of {place}?",
        f"Capital of {place}?",
    )
    trained = () if heldout else capital_questions(place)
    return Item("place", trained, asked if heldout else (), DO_NOT_KNOW)


def _bare(thing: str) -> str:
    """A thing without its article."""
    for known in ARTICLES:
        thing = thing.removeprefix(known)
    return thing
