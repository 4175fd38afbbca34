"""The part of an exported file that is written out: the model around its layers, and its loading."""

from __future__ import annotations

from typing import Final

DECODER: Final = '''
class Model(nn.Module):
    """The decoder and its vocabulary head, built from `SPEC`."""

    def __init__(self) -> None:
        super().__init__()
        building = start(SPEC)
        base = self.model = nn.Module()
        base.embed_tokens = build_tokens(SPEC.embed, SPEC.width)
        base.stem = build_stem(SPEC.embed, SPEC.width)
        base.embed_per_layer = {per_layer}
        base.layers = nn.ModuleList(build_block(block, i, building) for i, block in enumerate(SPEC.blocks))
        base.norm = build_norm(SPEC.norm, SPEC.width)
        base.project_out = None if SPEC.output_dim is None else Linear(SPEC.width, SPEC.output_dim)
        width = SPEC.output_dim or SPEC.width
        self.lm_transform = {transform}
        inner = width if SPEC.head.transform is None else SPEC.head.transform.dim or width
        self.lm_head = build_lm_head(SPEC.head, inner, base.embed_tokens)

    def new_cache(self) -> DynamicCache:
        """An empty cache to pass to every call of one sequence."""
        return DynamicCache(tuple(states_of(layer) for layer in self.model.layers))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, cache: DynamicCache | None = None
    ) -> Tensor:
        """Logits (B, T, V) of token ids (B, T); the mask is 1 for real tokens, on either side."""
        base = self.model
        step = begin(
            batch=input_ids.shape[0],
            new=input_ids.shape[1],
            device=input_ids.device,
            cache=cache,
            attention_mask=attention_mask,
        )
        h = base.embed_tokens(input_ids)
        if base.stem is not None:
            h = base.stem(h, None, step)
        if base.embed_per_layer is not None:
            step.per_layer_BTLP = base.embed_per_layer(input_ids, h)
        for layer in base.layers:
            h = layer(h, step)
        if cache is not None:
            cache.advance(step.new, step.valid_BS, step.next_position_B1)
        h = base.norm(h)
        if base.project_out is not None:
            h = base.project_out(h)
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        logits = self.lm_head(h) * SPEC.head.scale
        cap = SPEC.head.softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap
'''

ENCODER: Final = '''
class Model(nn.Module):
    """The encoder and its vocabulary head, built from `SPEC`."""

    def __init__(self) -> None:
        super().__init__()
        building = start(SPEC)
        base = self.model = nn.Module()
        base.embed_tokens = build_tokens(SPEC.embed, SPEC.width)
        base.stem = build_stem(SPEC.embed, SPEC.width)
        base.relative = {relative}
        base.layers = nn.ModuleList(build_block(block, i, building) for i, block in enumerate(SPEC.blocks))
        base.norm = build_norm(SPEC.norm, SPEC.width)
        self.lm_transform = {transform}
        inner = SPEC.width if SPEC.head.transform is None else SPEC.head.transform.dim or SPEC.width
        self.lm_head = build_lm_head(SPEC.head, inner, base.embed_tokens)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **more: Tensor,
    ) -> Tensor:
        """Logits (B, T, V) of token ids (B, T); the mask is 1 for real tokens, on either side."""
        base = self.model
        step = begin(
            batch=input_ids.shape[0],
            new=input_ids.shape[1],
            device=input_ids.device,
            attention_mask=attention_mask,
        )
        step.more = more
        h = base.embed_tokens(input_ids)
        if base.stem is not None:
            h = base.stem(h, token_type_ids, step)
        if base.relative is not None:
            step.relative = base.relative(step)
        for i in range(len(base.layers)) if SPEC.order is None else SPEC.order:
            h = base.layers[i](h, step)
        h = base.norm(h)
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        return self.lm_head(h)
'''

SEQ2SEQ: Final = '''
def stack(spec: EncoderSpec | DecoderSpec) -> nn.Module:
    """Embeddings, blocks and last norm of one half."""
    part, building = nn.Module(), start(spec)
    part.embed_tokens = build_tokens(spec.embed, spec.width)
    part.stem = build_stem(spec.embed, spec.width)
    part.relative = {relative}
    part.layers = nn.ModuleList(build_block(block, i, building) for i, block in enumerate(spec.blocks))
    part.norm = build_norm(spec.norm, spec.width)
    return part


def run(part: nn.Module, ids: Tensor, step: Step) -> Tensor:
    """Last hidden states of token ids."""
    h = part.embed_tokens(ids)
    if part.stem is not None:
        h = part.stem(h, None, step)
    if part.relative is not None:
        step.relative = part.relative(step)
    for layer in part.layers:
        h = layer(h, step)
    return part.norm(h)


class Model(nn.Module):
    """The encoder, the decoder and its vocabulary head, built from `SPEC`."""

    def __init__(self) -> None:
        super().__init__()
        base = self.model = nn.Module()
        base.encoder, base.decoder = stack(SPEC.encoder), stack(SPEC.decoder)
        if SPEC.shared:
            base.decoder.embed_tokens.weight = base.encoder.embed_tokens.weight
        head, width = SPEC.decoder.head, SPEC.decoder.width
        base.bridge = Linear(SPEC.encoder.width, width, bias=True) if SPEC.bridge else None
        self.lm_transform = {transform}
        inner = width if head.transform is None else head.transform.dim or width
        self.lm_head = build_lm_head(head, inner, base.decoder.embed_tokens)
        self.logits_bias = {logits_bias}

    def new_cache(self) -> EncoderDecoderCache:
        """An empty cache to pass to every call of one batch."""
        return EncoderDecoderCache.growing(tuple(states_of(layer) for layer in self.model.decoder.layers))

    def forward(
        self,
        input_ids: Tensor,
        decoder_input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: EncoderDecoderCache | None = None,
        **more: Tensor,
    ) -> Tensor:
        """Logits (B, T, V) of decoder ids (B, T), which answer ids (B, S); the mask is 1 for the text's real tokens.

        With a cache the encoder runs in the first call only.
        """
        base = self.model
        source = None if cache is None else cache.source
        if source is None:
            B, S = input_ids.shape
            step = begin(batch=B, new=S, device=input_ids.device, attention_mask=attention_mask)
            step.more = more
            states = run(base.encoder, input_ids, step)
            source = source_of(states if base.bridge is None else base.bridge(states), attention_mask)
            if cache is not None:
                cache.remember(source)
        B, T = decoder_input_ids.shape
        step = begin(batch=B, new=T, device=input_ids.device, cache=cache)
        step.source = source
        h = run(base.decoder, decoder_input_ids, step)
        if cache is not None:
            cache.advance(step.new, step.valid_BS, step.next_position_B1)
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        logits = self.lm_head(h) * SPEC.decoder.head.scale
        return logits if self.logits_bias is None else self.logits_bias(logits)
'''

LOAD: Final = '''def load(folder: str) -> Model:
    """The model with the weights of a checkpoint folder, in evaluation mode."""
    from pathlib import Path

    from safetensors.torch import load_file

    disk: dict[str, Tensor] = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        disk |= load_file(file)
    model = Model()
    allocate(model, torch.device("cpu"))
    state: dict[str, Tensor] = {}
    for sources, targets, op in LAYOUT:
        if all(name in disk for name in sources):
            made = op.forward([disk.pop(name) for name in sources])
            state |= dict(zip(targets, made, strict=True))
    missing, unexpected = model.load_state_dict(state | {k: v for k, v in disk.items()}, strict=False, assign=True)
'''

TIE: Final = """    tied = {"lm_head.weight"} if SPEC.head.tied else set()
    assert set(missing) <= tied, f"missing weights: {missing}"
    if SPEC.head.tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model.eval()
"""

TIE_SEQ2SEQ: Final = """    encoder, decoder = model.model.encoder, model.model.decoder
    tied = {"lm_head.weight"} if SPEC.decoder.head.tied else set()
    tied |= {"model.decoder.embed_tokens.weight"} if SPEC.shared else set()
    assert set(missing) <= tied, f"missing weights: {missing}"
    if SPEC.shared:
        decoder.embed_tokens.weight = encoder.embed_tokens.weight
    if "lm_head.weight" in missing:
        model.lm_head.weight = decoder.embed_tokens.weight
    return model.eval()
"""
