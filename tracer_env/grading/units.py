"""Removes what stands around a mathematical answer: units, currencies, ordinal endings."""

import re

_WORDS = """
mm cm km in ft yd mi inch inche foot feet yard mile meter metre centimeter centimetre millimeter kilometer kilometre
kg mg lb oz gram kilogram pound ounce ton ml cc liter litre milliliter gallon quart pint cup sec min hr second minute
hour day week month year cent dollar euro buck degree deg radian rad
unit celsius fahrenheit mph kph am pm percent usd eur
gbp hz joule newton watt people person men women boy girl student child children way time point apple egg ball marble
book coin
"""
_LONG = rf"(?:(?:{'|'.join(_WORDS.split())})s?|per cent|[ap]\.m\.)(?![A-Za-z])"
_NAME = rf"(?:{_LONG}|(?-i:[mghsLNJW])(?![A-Za-z]))"
_POWER = r"(?:\s?\^\s?\{?\s?-?\d\s?\}?)?"
_UNIT = re.compile(
    rf"(?<=[\d}})A-Za-z])(?:(?<=[\d}})])\s*(?={_LONG})|\s+)(?:(?:square|cubic|sq\.?|cu\.?)\s+)?{_NAME}{_POWER}"
    rf"(?:\s?(?:/|\bper\b)\s?(?:square\s|cubic\s)?{_NAME}{_POWER})?(?:\s(?:squared|cubed))?\.?$",
    re.IGNORECASE,
)
_NOUN = re.compile(  # what is counted: 15 tickets
    r"(?<=\d)\s+(?:(?:different|distinct|possible|such|more)\s+)?(?!(?:pi|sin|cos|tan|log|sqrt|mod|half|halves|thirds?|quarters?|dozen|hundred|thousand|million|billion|trillion|and|or|choose|base"
    r"|theta|alpha|beta|infinity|factorial|times|plus|minus)\b)[a-z]{3,20}$"
)
_TEXT_UNIT = re.compile(r"(?<=[^\s{(\[,=])\s*+\\text\s{0,4}\{(?!\s*(?:or|and)\b)[^{}]{0,200}\}(?:\^\{?\d\}?)?$")
_ORDINAL = re.compile(r"(?<=\d)\s?\^?\s?\{?\s?(?:\\text\s?\{\s?)?(?:th|st|nd|rd)\s?\}?\s?\}?$")
_CURRENCY = re.compile(
    r"^(-?)\s*(?:(?:USD|US|EUR|GBP|INR|Rs\.?)(?![A-Za-z])|\\text\s?\{\s?(?:USD|EUR|GBP|Rs\.?)\s?\}|[€£¥₹₩₽]|\\(?:pounds|euro))"
    r"\s*(?=[-\d.])"
)


def without_units(text: str) -> str:
    r"""``text`` without a currency before it and a unit after it, in ``\text{…}`` or not.

    ``15 square inches``, ``15\,\text{cm}^2``, ``15 km/h``, ``15^{\text{th}}`` and ``USD 15`` are all ``15``. What
    could be a variable stays: a single letter is a unit only behind a number and a space (``15 m``).
    """
    text = _CURRENCY.sub(r"\1", text)
    text = _ORDINAL.sub("", _TEXT_UNIT.sub("", text).rstrip())
    bare = _UNIT.sub("", text)
    bare = _NOUN.sub("", text) if bare == text else bare
    bare = re.sub(r"(?<=\d)\s+(?:different|distinct|possible)$", "", bare.rstrip())
    if bare != text and re.search(r"[\d}]$|\\pi$|[A-Za-z)]$", bare.rstrip()):
        return bare.rstrip()
    return text
