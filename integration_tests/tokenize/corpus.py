"""Text in many scripts, made here: what the tokenizers of these tests are trained on and compared over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

SENTENCES: Final = (
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "In 2026, 3.14159 and 1,234,567.89 were still numbers; 0x1F600 was not.",
    "Le café est fermé à Noël, naïve idée que d'y aller l'été.",
    "Größere Straßen heißen in München oft „Ring“ – manchmal auch Gürtel.",
    "El niño comió ñoquis y preguntó: ¿dónde está mi sombrero?",
    "Быстрая лиса прыгает через ленивую собаку в сентябре.",
    "Η γρήγορη αλεπού πηδά πάνω από το τεμπέλικο σκυλί.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول في المساء.",
    "השועל החום המהיר קופץ מעל הכלב העצלן.",
    "तेज़ भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है।",
    "สุนัขจิ้งจอกสีน้ำตาลกระโดดข้ามสุนัขขี้เกียจอย่างรวดเร็ว",
    "敏捷的棕色狐狸跳过了懒惰的狗。今天天气很好！",
    "素早い茶色の狐がのろまな犬を飛び越える。カタカナもひらがなも。",
    "빠른 갈색 여우가 게으른 개를 뛰어넘습니다.",
    "Con cáo nâu nhanh nhẹn nhảy qua con chó lười biếng.",
    "def main(argv: list[str]) -> int:\n    return sum(x ** 2 for x in range(10)) or 0\n",
    'for (int i = 0; i < n; ++i) {\n\tprintf("%d\\n", a[i]);\n}\n',
    "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY name;",
    '<div class="box">Hello &amp; welcome</div> <!-- done -->',
    "https://example.org/path?query=1&lang=de#top user@example.org",
    "I love 🍕 and 👩‍👩‍👧‍👦 and 🇩🇪 and 👍🏽!!!",
    "e\u0301 a\u0308 n\u0303 o\u0302\u0301 \u1e9b\u0323 ﬁ ﬂ Ⅷ ㎏ ｆｕｌｌ",
    "tabs\tand  double   spaces \n\n new lines\r\n and\u00a0no-break\u200bzero\u3000wide",
    "ALL CAPS, CamelCase, snake_case, kebab-case, a.b.c, A/B",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa hahahahahaha",
    "don't can't won't I'm you're they've she'll he'd",
)
EDGES: Final = (
    *(
        "",
        " ",
        "  ",
        "\n",
        "\t",
        "a",
        " a",
        "a ",
        "  a  b  ",
        "\n\na",
        "0",
        "00",
        "é",
        "e\u0301",
        "ß",
        "İ",
        "ﬀ",
        "日",
    ),
    *(
        "🙂",
        "🇩",
        "\u200d",
        "\ufeff",
        "\u00ad",
        "\x00",
        "a\x00b",
        "\x7f",
        "\u0300",
        "▁",
        "▁a",
        "a▁b",
        "##a",
        "</w>",
    ),
    *(
        "Ġ",
        "Ċ",
        "\ufffd",
        "\U0010ffff",
        "\u2028",
        "...",
        "!!!",
        "--",
        "''",
        "``",
        '"',
        "a" * 300,
        " " * 50,
        "1" * 40,
    ),
    *("e\u0301" * 20, "'s", "'S", "<0x41>"),
)


def corpus(repeat: int = 12, seed: int = 0) -> list[str]:
    """Training text: the sentences, whole and shuffled by words, so that there are merges to learn."""
    random_ = random.Random(seed)
    lines = list(SENTENCES)
    for _ in range(repeat):
        for sentence in SENTENCES:
            words = sentence.split(" ")
            random_.shuffle(words)
            lines.append(" ".join(words))
    return lines


def probes(special: Sequence[str] = (), count: int = 300, seed: int = 1) -> list[str]:
    """Strings to compare over: edges, sentences, pieces and mixtures of them, with special tokens in between."""
    random_ = random.Random(seed)
    found = [*EDGES, *SENTENCES]
    while len(found) < count:
        first, second = random_.choice(SENTENCES), random_.choice(SENTENCES)
        start, stop = sorted(random_.choices(range(len(first) + 1), k=2))
        glue = random_.choice(["", " ", "\n", "  ", "🙂", *(f" {token} " for token in special), *special])
        found.append(first[start:stop] + glue + second[: random_.randrange(len(second))])
    return found
