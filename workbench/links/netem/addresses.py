"""The two ends of a netem path. Every path has the same: each lives in namespaces of its own."""

__all__ = ["CLOUD_ADDRESS", "EDGE_ADDRESS"]

EDGE_ADDRESS = "192.0.2.1"
CLOUD_ADDRESS = "192.0.2.2"
"""From the block kept for documentation (RFC 5737): no host has it."""
