"""Templates that reach out, run on, or write on are stopped, with a typed error and little memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from hf_tokenize import PreTrainedTokenizer
from hf_tokenize.chat.limits import TemplateLimits
from hf_tokenize.errors import ChatTemplateError, ChatTemplateLimitError

Get = Callable[[str], PreTrainedTokenizer]
LIMITS = TemplateLimits(seconds=0.5, characters=200_000)
TALK = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{{ 'x' * 10 ** 9 }}",
        "{{ 10 ** 9 * 'x' }}",
        "{{ [0] * 10 ** 9 }}",
        "{{ 'a' | center(10 ** 9) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{}}'.format(1, 1000000000) }}",
        "{{ 'a' | indent(1000000000) }}",
        "{{ (2 ** 1000000) ** 1000000 }}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% macro f() %}{% for i in range(90000) %}{% for j in range(9000) %}xxxxxxxxxxxx{% endfor %}"
        "{% endfor %}{% endmacro %}{{ f() }}",
        "{% set x %}{% for i in range(90000) %}xxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endset %}",
        "{{ ('ab' * 1000).replace('', 'x' * 100000) }}",
        "{{ ('a,' * 1000) | replace('a', 'x' * 100000) }}",
        "{{ messages | tojson(indent=1000000000) }}",
        "{% filter indent(1000000000) %}a\nb{% endfilter %}",
        "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    ],
)
def test_endless_templates_end(get: Get, template: str) -> None:
    tracemalloc.start()
    started = time.monotonic()
    try:
        with pytest.raises(ChatTemplateError) as caught:
            get("llama3").apply_chat_template(TALK, chat_template=template, limits=LIMITS)
        assert isinstance(caught.value, ChatTemplateLimitError) or "itself" in str(caught.value)
        assert time.monotonic() - started < 20
        assert tracemalloc.get_traced_memory()[1] < 300_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}{{ ''.__class__.__mro__ }}",
        "{{ messages.__class__.__base__.__subclasses__() }}",
        "{{ ''['__class__']['__mro__'] }}",
        "{{ ('' | attr('__class__')).__mro__ }}",
        "{{ raise_exception.__globals__['__builtins__'] }}",
        "{{ strftime_now.__globals__ }}{{ strftime_now.__globals__.x }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ self.__init__.__globals__ }}{{ self._TemplateReference__context.x.y }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'x'}) }}",
        "{{ messages.clear() }}",
        "{{ __budget__.limits.__class__.x }}",
        "{{ __loop__.__self__._deadline }}{{ __loop__.__self__.limits.x.y }}",
        "{% include 'x' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ lipsum.__globals__ }}",
    ],
)
def test_nothing_leads_out_of_the_sandbox(get: Get, template: str) -> None:
    try:
        text = get("llama3").apply_chat_template(TALK, tokenize=False, chat_template=template)
    except ChatTemplateError:
        return
    assert isinstance(text, str)
    assert "class" not in text
    assert "builtins" not in text
    assert TALK == [{"role": "user", "content": "hi"}]


def test_templates_cannot_replace_their_guards(get: Get) -> None:
    with pytest.raises(ChatTemplateLimitError):
        get("llama3").apply_chat_template(
            TALK,
            chat_template="{% set __budget__ = none %}{% set __loop__ = none %}{{ 'x' * 10 ** 9 }}",
            template_variables={"__budget__": None, "__loop__": None},
            limits=LIMITS,
        )


def test_honest_templates_are_not_hindered(get: Get) -> None:
    talk = [{"role": "user", "content": "word " * 2000}] * 40
    template = (
        "{% for m in messages %}{{ loop.index ~ ':' ~ m.content | trim }}"
        "{% if loop.last %}!{% endif %}{% endfor %}"
    )
    text = get("llama3").apply_chat_template(talk, tokenize=False, chat_template=template)
    assert isinstance(text, str)
    assert len(text) > 390_000
    assert text.endswith("!")
