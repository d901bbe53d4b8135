"""Reads a model's shape from the configuration file that Hugging Face models carry."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hardware_profiles.datasheets import ModelShape
from hardware_profiles.safe_yaml import shown

_DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1}
_MOST = 2**31 - 1
"""Largest size that is believed."""
_LONGEST_NAME = 200
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


def read_model_config(path: Path, name: str | None = None) -> ModelShape:
    """The shape of the dense decoder-only transformer with gated MLPs whose `config.json` is at `path`.

    Parameters are counted from the shape: embedding (twice if not tied), attention, MLP and norms. `name`: of the
    model; by default that in the file or of its folder. Raises ValueError for a file that is not such a
    configuration (with file and field) or describes a mixture of experts; OSError if it cannot be read.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    config = config.get("text_config", config) if isinstance(config, dict) else None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: not a JSON object")
    experts = next((field for field in _EXPERTS if config.get(field) not in (None, 0, 1)), None)
    if experts:
        raise ValueError(f"{path}: {experts} = {shown(config[experts])}: mixtures of experts are not covered")
    heads = _count(config, "num_attention_heads", path)
    hidden = _count(config, "hidden_size", path)
    shape = {
        "num_layers": _count(config, "num_hidden_layers", path),
        "hidden_size": hidden,
        "intermediate_size": _count(config, "intermediate_size", path),
        "num_heads": heads,
        "num_kv_heads": _count(config, "num_key_value_heads", path, heads),
        "head_dim": _count(config, "head_dim", path, hidden // heads),
        "vocab_size": _count(config, "vocab_size", path),
    }
    dtype = str(config.get("torch_dtype") or config.get("dtype") or "bfloat16")
    if dtype not in _DTYPE_BYTES:
        raise ValueError(f"{path}: torch_dtype = {shown(dtype)}: not one of {', '.join(_DTYPE_BYTES)}")
    called = (name or str(config.get("_name_or_path") or path.resolve().parent.name))[:_LONGEST_NAME]
    return ModelShape(
        name=re.sub(r"[^a-z0-9.-]+", "-", called.rsplit("/", 1)[-1].lower()).strip("-.") or "model",
        title=called,
        weight_bytes=count_parameters(**shape, tied=bool(config.get("tie_word_embeddings", False)))
        * _DTYPE_BYTES[dtype],
        dtype_bytes=_DTYPE_BYTES[dtype],
        source=f"shape of {path.name}, parameters counted from it",
        **shape,
    )


def count_parameters(
    num_layers: int,
    hidden_size: int,
    intermediate_size: int,
    num_heads: int,
    num_kv_heads: int,
    head_dim: int,
    vocab_size: int,
    tied: bool = False,
) -> int:
    """Parameters of a decoder-only transformer with gated MLPs and RMS norms, without biases."""
    attention = 2 * hidden_size * head_dim * (num_heads + num_kv_heads)
    layer = attention + 3 * hidden_size * intermediate_size + 2 * hidden_size
    return num_layers * layer + (1 if tied else 2) * vocab_size * hidden_size + hidden_size


def _count(config: dict[str, Any], field: str, path: Path, default: int | None = None) -> int:
    value = config.get(field)
    value = default if value is None else value
    if type(value) is not int or value <= 0:
        raise ValueError(f"{path}: {field} = {shown(value)}: a positive whole number is needed")
    if value > _MOST:
        raise ValueError(f"{path}: {field} = {shown(value)}: more than {_MOST} is not believed")
    return value
