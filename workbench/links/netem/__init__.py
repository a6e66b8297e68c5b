"""Kernel netem: a path in network namespaces of its own."""

from workbench.links.netem.link import NetemLink

__all__ = ["NetemLink"]
