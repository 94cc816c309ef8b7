"""The languages of Whisper: ISO 639 codes and the names that OpenAI's bodies carry."""

from __future__ import annotations

# Alphabetical by code, as `code=name`; spaces in names are underscores.
_TABLE = """
af=afrikaans am=amharic ar=arabic as=assamese az=azerbaijani ba=bashkir be=belarusian bg=bulgarian
bn=bengali bo=tibetan br=breton bs=bosnian ca=catalan cs=czech cy=welsh da=danish de=german
el=greek en=english es=spanish et=estonian eu=basque fa=persian fi=finnish fo=faroese fr=french
gl=galician gu=gujarati ha=hausa haw=hawaiian he=hebrew hi=hindi hr=croatian ht=haitian_creole
hu=hungarian hy=armenian id=indonesian is=icelandic it=italian ja=japanese jw=javanese ka=georgian
kk=kazakh km=khmer kn=kannada ko=korean la=latin lb=luxembourgish ln=lingala lo=lao lt=lithuanian
lv=latvian mg=malagasy mi=maori mk=macedonian ml=malayalam mn=mongolian mr=marathi ms=malay
mt=maltese my=myanmar ne=nepali nl=dutch nn=nynorsk no=norwegian oc=occitan pa=punjabi pl=polish
ps=pashto pt=portuguese ro=romanian ru=russian sa=sanskrit sd=sindhi si=sinhala sk=slovak
sl=slovenian sn=shona so=somali sq=albanian sr=serbian su=sundanese sv=swedish sw=swahili ta=tamil
te=telugu tg=tajik th=thai tk=turkmen tl=tagalog tr=turkish tt=tatar uk=ukrainian ur=urdu uz=uzbek
vi=vietnamese yi=yiddish yo=yoruba yue=cantonese zh=chinese
"""

NAMES: dict[str, str] = {
    code: name.replace("_", " ")
    for code, _, name in (each.partition("=") for each in _TABLE.split())
}
"""Code to name."""

_CODES = {name: code for code, name in NAMES.items()}


def language_code(language: str) -> str:
    """The code of a language given by code or by name; what is unknown comes back as it is."""
    wanted = language.strip().lower()
    return _CODES.get(wanted, wanted)


def language_name(code: str) -> str:
    """The name of a language, or its code where no name is known."""
    return NAMES.get(code, code)
