"""`apply_chat_template`: which template, what it is given, and the token ids that come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, TypeGuard, cast

from hf_tokenize.batch import BatchEncoding
from hf_tokenize.chat.limits import DEFAULT_LIMITS, TemplateLimits
from hf_tokenize.chat.render import ChatTemplate, Conversation, Rendering, Span, TemplateValue
from hf_tokenize.chat.tools import Tool, tool_schemas
from hf_tokenize.encoding import Encoding
from hf_tokenize.errors import ChatTemplateError, OptionError
from hf_tokenize.options import PaddingStrategy, Side, TensorType, TruncationStrategy, unknown_option
from hf_tokenize.settings import Settings
from hf_tokenize.tensors import nested_to_tensor

if TYPE_CHECKING:
    from hf_tokenize.tokenizer import PreTrainedTokenizer


class ChatOptions(TypedDict, total=False):
    """Options of `apply_chat_template`, beside the conversation and `tokenize`.

    `tools`: functions or schemas the model may call. `documents`: what it may read. `chat_template`: a template, or
    the name of one of the tokenizer's. `add_generation_prompt`: end where the assistant begins to speak.
    `continue_final_message`: end inside the last message. `return_assistant_tokens_mask`: add `assistant_masks`, 1
    where the assistant speaks. `template_variables`: what else the template knows, such as `enable_thinking`.
    `limits`: how long the template may run. The others are those of calling the tokenizer.
    """

    tools: Sequence[Tool] | None
    documents: Sequence[Mapping[str, TemplateValue]] | None
    chat_template: str | None
    add_generation_prompt: bool
    continue_final_message: bool
    return_assistant_tokens_mask: bool
    template_variables: Mapping[str, TemplateValue]
    enable_thinking: bool
    limits: TemplateLimits
    padding: bool | PaddingStrategy
    truncation: bool | TruncationStrategy
    max_length: int | None
    padding_side: Side | None
    pad_to_multiple_of: int | None
    return_tensors: TensorType | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRequest:
    """What a call of `apply_chat_template` asks of the template."""

    tools: Sequence[Tool] | None = None
    documents: Sequence[Mapping[str, TemplateValue]] | None = None
    chat_template: str | None = None
    add_generation_prompt: bool = False
    continue_final_message: bool = False
    mask: bool = False
    limits: TemplateLimits = DEFAULT_LIMITS


def apply_chat_template(
    tokenizer: PreTrainedTokenizer,
    conversation: Conversation | Sequence[Conversation],
    options: ChatOptions,
    *,
    tokenize: bool,
) -> BatchEncoding[Any] | str | list[str]:
    """As `PreTrainedTokenizer.apply_chat_template`."""
    for name in options:
        if name not in ChatOptions.__annotations__:
            raise unknown_option(name, tuple(ChatOptions.__annotations__))
    request = ChatRequest(
        tools=options.get("tools"),
        documents=options.get("documents"),
        chat_template=options.get("chat_template"),
        add_generation_prompt=options.get("add_generation_prompt", False),
        continue_final_message=options.get("continue_final_message", False),
        mask=options.get("return_assistant_tokens_mask", False),
        limits=options.get("limits", DEFAULT_LIMITS),
    )
    variables = dict(options.get("template_variables", {}))
    if "enable_thinking" in options:
        variables["enable_thinking"] = options["enable_thinking"]
    batch = is_batch(conversation)
    conversations = cast("Sequence[Conversation]", conversation if batch else [conversation])
    rendered = [render(tokenizer.settings, one, request, variables) for one in conversations]
    texts = [one.text for one in rendered]
    if not tokenize:
        return texts if batch else texts[0]
    tensors = options.get("return_tensors")
    result = tokenizer(
        texts if batch or tensors is not None else texts[0],
        return_tensors=tensors,
        add_special_tokens=False,  # the template wrote them
        padding=options.get("padding", False),
        truncation=options.get("truncation"),
        max_length=options.get("max_length"),
        padding_side=options.get("padding_side"),
        pad_to_multiple_of=options.get("pad_to_multiple_of"),
    )
    if request.mask:
        masks = [
            span_mask(encoding, one.spans) for encoding, one in zip(result.encodings, rendered, strict=True)
        ]
        shown: list[int] | list[list[int]] = masks if batch else masks[0]
        result["assistant_masks"] = (
            shown if tensors is None else nested_to_tensor(masks, tensors, name="assistant_masks")
        )
    return result


def choose_template(settings: Settings, name_or_template: str | None, *, tools: bool) -> str:
    """The template itself: the one given, the one of that name, or the tokenizer's own ("tool_use" with tools).

    Raises ChatTemplateError when there is none.
    """
    templates = settings.chat_templates
    if name_or_template is not None:
        return templates.get(name_or_template, name_or_template)
    if tools and "tool_use" in templates:
        return templates["tool_use"]
    if "default" in templates:
        return templates["default"]
    have = f"it has templates named {', '.join(sorted(templates))}" if templates else "it has none"
    raise ChatTemplateError(
        f"this tokenizer has no default chat template: {have}",
        fix="pass chat_template=..., a template or the name of one, or tokenizer.replace(chat_template=...)",
    )


def is_batch(conversation: Conversation | Sequence[Conversation]) -> TypeGuard[Sequence[Conversation]]:
    """Whether several conversations were given."""
    return bool(conversation) and not isinstance(conversation[0], Mapping)


def render(
    settings: Settings,
    conversation: Conversation,
    request: ChatRequest,
    variables: Mapping[str, TemplateValue],
) -> Rendering:
    """The text of one conversation and, with `mask`, the assistant's spans. Raises ChatTemplateError, OptionError."""
    if not conversation:
        raise OptionError("the conversation is empty", fix="give at least one message")
    if request.continue_final_message and (request.add_generation_prompt or request.mask):
        other = "add_generation_prompt" if request.add_generation_prompt else "return_assistant_tokens_mask"
        raise OptionError(f"continue_final_message and {other} exclude each other", fix="choose one")
    source = choose_template(settings, request.chat_template, tools=bool(request.tools))
    given: dict[str, TemplateValue] = {
        **settings.special.as_map(),
        "tools": None if request.tools is None else tool_schemas(request.tools),
        "documents": None if request.documents is None else list(request.documents),
        **variables,
    }
    template = ChatTemplate(source=source, variables=given, limits=request.limits)
    if request.continue_final_message:
        return Rendering(text=template.render_open(conversation))
    if request.mask:
        return template.render_with_spans(conversation)
    return Rendering(text=template.render(conversation, add_generation_prompt=request.add_generation_prompt))


def span_mask(encoding: Encoding, spans: Sequence[Span]) -> list[int]:
    """1 for every token with a character inside one of `spans`; tokens that truncation cut away are not there."""
    return [
        int(
            encoding.sequence_ids[i] is not None
            and any(begin < stop and end > start for start, stop in spans)
        )
        for i, (begin, end) in enumerate(encoding.offsets)
    ]
