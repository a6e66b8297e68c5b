"""How many bytes a boundary activation packs into. No torch: the cost model asks it too.

A tensor is ``rows`` tokens of ``width`` elements. Scales come before values in one buffer.
"""

from __future__ import annotations

from workbench.errors import UnknownNameError
from workbench.plan import WIRE_CODECS

__all__ = ["INT4_GROUP", "INT4_GROUP_BYTES", "INT8_ROW_BYTES", "packed_bytes"]

INT8_ROW_BYTES = 8
"""Scale and minimum of one token, float32 each."""
INT4_GROUP = 32
"""Elements that share a scale. At 4.5 bits per element, 32 with one scale each had less error than 64 with
scale and minimum, on every distribution tried (tests/quantization/test_activations.py)."""
INT4_GROUP_BYTES = 2 + INT4_GROUP // 2
"""One group: a bfloat16 scale and a nibble per element."""

_ELEMENT_BYTES = {"fp32": 4, "bf16": 2, "fp16": 2}


def packed_bytes(rows: int, width: int, codec: str) -> int:
    """Bytes of ``rows`` tokens of ``width`` elements, without any header.

    Raises:
        UnknownNameError: no codec is called so.
    """
    if codec in _ELEMENT_BYTES:
        return rows * width * _ELEMENT_BYTES[codec]
    if codec == "int8":
        return rows * (INT8_ROW_BYTES + width)
    if codec == "int4":
        return rows * -(-width // INT4_GROUP) * INT4_GROUP_BYTES
    raise UnknownNameError("wire codec", codec, WIRE_CODECS)
