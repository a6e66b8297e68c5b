"""Names, contacts, numbers and health matters in a text, also where somebody tries to slip them by."""

from workbench.routing.sensitive.find import Finding, find_sensitive

__all__ = ["Finding", "find_sensitive"]
