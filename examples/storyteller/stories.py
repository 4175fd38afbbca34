"""Small stories in simple English, made from plots and words that were written for this project.

A story is an opening, the beats of a plot with one line chosen for each, and an ending; names, animals and things
are drawn once and kept. So the texts differ widely while their words stay few, which is what lets a model of two
million parameters learn them (the idea is that of arXiv 2305.07759).

    python examples/storyteller/stories.py --count 3
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ASKING = (
    "Tell me a story about {topic}.",
    "Can you tell me a story about {topic}?",
    "I want to hear a story about {topic}.",
    "Please tell me a story about {topic}.",
    "tell me a story about {topic}",
    "Write a story about {topic}.",
    "A story about {topic}, please!",
    "{topic}",
)
ASKING_FOR_ANY = (
    "Tell me a story.",
    "tell me a story",
    "Another story, please!",
    "A story please",
    "One more!",
    "yes",
)
PRONOUNS = {
    "she": ("she", "her", "her"),
    "he": ("he", "him", "his"),
}


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What a story is about, in words one may ask for, and its beats: lines of which one is told."""

    topics: tuple[str, ...]
    beats: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A text to learn from: a story, and what was asked for to hear it."""

    request: str
    text: str


def blocks(name: str) -> Iterator[list[str]]:
    """Groups of lines of a file beside this one, separated by empty lines; comments are left out."""
    lines = [
        line for line in (HERE / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    for block in "\n".join(lines).split("\n\n"):
        kept = [line.strip() for line in block.splitlines() if line.strip()]
        if kept:
            yield kept


def read_plots() -> dict[str, Plot]:
    """Every plot by name, "opening" and "ending" among them."""
    plots: dict[str, Plot] = {}
    name, topics, beats = "", (), []  # type: str, tuple[str, ...], list[tuple[str, ...]]
    for block in [*blocks("plots.txt"), ["="]]:
        if block[0].startswith("="):
            if name:
                plots[name] = Plot(topics=topics, beats=tuple(beats))
            name, *rest = (part.strip() for part in block[0].removeprefix("=").split("|"))
            topics, beats = tuple(rest), []
            block = block[1:]
        if block:
            beats.append(tuple(block))
    return plots


def read_worlds() -> dict[str, list[str]]:
    """Values by slot."""
    (lines,) = blocks("worlds.txt")
    pairs = (line.split(":", 1) for line in lines)
    return {name: [value.strip() for value in values.split(",")] for name, values in pairs}


def read_talk() -> list[tuple[list[str], list[str]]]:
    """What one may say, and the answers to it."""
    return [([said.strip() for said in first.split("|")], answers) for first, *answers in blocks("talk.txt")]


def article(noun: str) -> str:
    """The noun with a or an."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


class Storyteller:
    """Draws stories and conversations; the same seed draws the same ones."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)
        self.worlds = read_worlds()
        self.talk = read_talk()
        plots = read_plots()
        self.openings, self.endings = plots.pop("opening").beats[0], plots.pop("ending").beats[0]
        self.plots = list(plots.values())

    def story(self) -> Sample:
        """One story."""
        plot = self.random.choice(self.plots)
        slots = self._slots()
        lines = [self.random.choice(self.openings)]
        lines += [self.random.choice(beat) for beat in plot.beats]
        if self.random.random() < 0.7:
            lines.append(self.random.choice(self.endings))
        asked = self._request(plot, slots)
        half = self.random.randint(3, 5)
        text = " ".join(lines[:half]) + "\n\n" + " ".join(lines[half:])
        return Sample(request=asked, text=filled(text, slots))

    def small_talk(self) -> Sample:
        """Something one may say, in some spelling, and an answer."""
        said, answers = self.random.choice(self.talk)
        request = self.random.choice(said)
        if self.random.random() < 0.5:
            question = request.split()[0] in ("who", "what", "how", "are", "can")
            request = request[0].upper() + request[1:] + ("?" if question else self.random.choice(".!"))
        return Sample(request=request, text=self.random.choice(answers))

    def _request(self, plot: Plot, slots: dict[str, str]) -> str:
        if self.random.random() < 0.15:
            return self.random.choice(ASKING_FOR_ANY)
        topics = [*plot.topics, "{hero}", "{hero} and {friend}", "{kind}"]
        asked = self.random.choice(ASKING).format(topic=filled(self.random.choice(topics), slots))
        return asked if self.random.random() < 0.8 else asked.lower()

    def _slots(self) -> dict[str, str]:
        hero, kind, pronoun = self._someone()
        friend, _, other = self._someone()
        while friend == hero:
            friend, _, other = self._someone()
        slots = {name: self.random.choice(self.worlds[name]) for name in self.worlds}
        slots["he"], slots["him"], slots["his"] = PRONOUNS[pronoun]
        slots["fhe"], slots["fhim"], slots["fhis"] = PRONOUNS[other]
        slots["parent"] = re.sub(r"^his\b", slots["his"], slots["parent"])
        return slots | {"hero": hero, "kind": kind, "friend": friend}

    def _someone(self) -> tuple[str, str, str]:
        """A name, what that is, and its pronoun."""
        draw = self.random.random()
        if draw < 0.4:
            return (
                self.random.choice(self.worlds["girls"]),
                self.random.choice(("a girl", "a little girl")),
                "she",
            )
        if draw < 0.8:
            return (
                self.random.choice(self.worlds["boys"]),
                self.random.choice(("a boy", "a little boy")),
                "he",
            )
        name, _, noun = self.random.choice(self.worlds["animals"]).partition(" the ")
        return (
            name,
            article(f"{self.random.choice(('little', 'young', 'small'))} {noun}"),
            self.random.choice(("she", "he")),
        )


def filled(text: str, slots: dict[str, str]) -> str:
    """The text with its slots filled, a or an put right, and sentences begun with a capital."""
    for name, value in slots.items():
        text = text.replace(f"{{{name}}}", value).replace(
            f"{{{name.capitalize()}}}", value[0].upper() + value[1:]
        )
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return re.sub(r"\b([Aa])n (?=[^aeiou\W])", r"\1 ", text)


def main() -> None:
    """Print some stories."""
    parser = argparse.ArgumentParser(description="Print small stories.")
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    teller = Storyteller(options.seed)
    for _ in range(options.count):
        sample = teller.story()
        sys.stdout.write(f"> {sample.request}\n{sample.text}\n\n")


if __name__ == "__main__":
    main()
