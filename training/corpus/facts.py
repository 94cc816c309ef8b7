"""Items made from the tables: countries, elements, words."""

from __future__ import annotations

from pathlib import Path

from training.corpus.content import CONTENT_DIR, Item, read_lists, read_table

ARTICLES = ("a ", "an ", "the ")

DO_NOT_KNOW = "I am a small demonstration model and do not know that."


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
