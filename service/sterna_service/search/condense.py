"""Picks the sentences of a page that bear on a query: extraction, no rewriting."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w+")
_SHORTEST_SENTENCE = 20
_LONGEST_SENTENCE = 400
_MOST_SENTENCES = 2000
_MOST_ELEMENTS = 20_000
# Of the best sentence's score; below it, a sentence shares only words that all of them have.
_LEAST_SHARE = 0.25


def page_text(html: str) -> str:
    """The main text of a page without its menus and adverts; empty when there is none. Blocks."""
    import trafilatura

    # The library walks trees by recursion.
    if html.count("<div") > _MOST_ELEMENTS:
        return ""
    try:
        text = trafilatura.extract(html, include_comments=False, include_tables=False)
    except (RecursionError, ValueError):
        return ""
    return text or ""


def condense(text: str, query: str, most_tokens: int, count_tokens: Callable[[str], int]) -> str:
    """The sentences that share most with the query, in their order, within a budget of tokens.

    Sentences are scored by BM25 (Robertson and Zaragoza, 2009) with k1 = 1.2 and b = 0.75, each
    sentence being a document.
    """
    sentences = [
        each.strip()[:_LONGEST_SENTENCE]
        for each in _SENTENCE_END.split(text)
        if len(each.strip()) >= _SHORTEST_SENTENCE
    ][:_MOST_SENTENCES]
    scores = _bm25(sentences, query)
    chosen: list[int] = []
    left = most_tokens
    for index in sorted(range(len(sentences)), key=lambda each: (-scores[each], each)):
        if scores[index] < _LEAST_SHARE * max(scores) or (chosen and scores[index] <= 0):
            break
        cost = count_tokens(sentences[index])
        if cost <= left:
            chosen.append(index)
            left -= cost
    return " ".join(sentences[index] for index in sorted(chosen))


def _bm25(sentences: Sequence[str], query: str) -> list[float]:
    words = [Counter(_WORD.findall(sentence.lower())) for sentence in sentences]
    lengths = [max(1, sum(each.values())) for each in words]
    average = sum(lengths) / max(1, len(lengths))
    scores = [0.0] * len(sentences)
    for term in set(_WORD.findall(query.lower())):
        having = sum(1 for each in words if term in each)
        if not having:
            continue
        weight = math.log(1 + (len(words) - having + 0.5) / (having + 0.5))
        for index, each in enumerate(words):
            if count := each.get(term, 0):
                norm = 1.2 * (0.25 + 0.75 * lengths[index] / average)
                scores[index] += weight * count * 2.2 / (count + norm)
    return scores
