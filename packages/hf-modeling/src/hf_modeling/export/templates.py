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
    tied = {"lm_head.weight"} if SPEC.head.tied else set()
    assert set(missing) <= tied, f"missing weights: {missing}"
    if SPEC.head.tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model.eval()
'''
