"""Every error that the workbench raises on purpose.

WorkbenchError
├── InputError(ValueError)            what the caller gave cannot be used
│   ├── UnknownNameError              no model, device, link, codec … of that name; suggests the nearest
│   ├── PlanError                     a stage, partition or plan that cannot be
│   ├── ProfileError                  a device, link or model profile that cannot be
│   └── PromptError                   a prompt that is empty, too long or not of the vocabulary
├── DoesNotFitError                   a stage needs more memory than its device has
├── InfeasibleError                   no plan keeps every limit; says which binds, and by how much
├── RefusedError                      a request that is not served as the plan is
│   ├── BoundError                    what is bound to one place would be computed elsewhere
│   └── OfflineError                  there is no link, and the plan has nothing that answers without
├── ModelError
│   ├── ModelNotFoundError            neither shipped, nor a folder, nor a reachable hub id
│   ├── CheckpointError               weights that are corrupt, truncated or incomplete
│   ├── AdapterError                  an adapter that is missing, damaged or of another base
│   ├── TokenizerError                a tokenizer that is missing or belongs to another model
│   └── UnsupportedArchitectureError  a model that cannot be split truthfully
├── LinkError                         a link that cannot be made
│   └── LinkMismatchError             a link that is not what it says; carries what was measured
├── ThrottleError                     a host that cannot pose as the device
├── TransportError
│   ├── AddressInUseError             somebody else listens there
│   ├── PeerError                     the other side reported a failure; carries its message
│   ├── PeerLostError                 the other side did not answer in time, or went away
│   └── ProtocolError                 a message that is malformed, oversized or of another version
├── StudyError
│   └── StudyVersionError             a study file that another version wrote
├── MissingDependencyError(ImportError)   an optional package is needed; says how to install it
└── CancelledRunError                 the user stopped it

Messages name the value, the reason and the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AdapterError",
    "AddressInUseError",
    "BoundError",
    "CancelledRunError",
    "CheckpointError",
    "DoesNotFitError",
    "InfeasibleError",
    "InputError",
    "LinkError",
    "LinkMismatchError",
    "MissingDependencyError",
    "ModelError",
    "ModelNotFoundError",
    "OfflineError",
    "PeerError",
    "PeerLostError",
    "PlanError",
    "ProfileError",
    "PromptError",
    "ProtocolError",
    "RefusedError",
    "StudyError",
    "StudyVersionError",
    "ThrottleError",
    "TokenizerError",
    "TransportError",
    "UnknownNameError",
    "UnsupportedArchitectureError",
    "WorkbenchError",
]


class WorkbenchError(Exception):
    """Root of all errors that the workbench raises on purpose."""


class InputError(WorkbenchError, ValueError):
    """What the caller gave cannot be used."""


class UnknownNameError(InputError):
    """A name that no known thing has.

    Args:
        kind: what was looked for, e.g. ``"device"``.
        name: what was given.
        known: the names that exist; the nearest is suggested.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        near = difflib.get_close_matches(str(name), self.known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"no {kind} is called {name!r}: {hint}known are {', '.join(self.known) or 'none'}")

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, object, list[str]]]:
        return type(self), (self.kind, self.name, self.known)


class PlanError(InputError):
    """A stage, partition or plan that cannot be."""


class ProfileError(InputError):
    """A device, link or model profile that cannot be."""


class PromptError(InputError):
    """A prompt that is empty, too long or not of the vocabulary."""


class DoesNotFitError(WorkbenchError):
    """A stage needs more memory than its device has."""


class InfeasibleError(WorkbenchError):
    """No plan keeps every limit.

    Args:
        message: which limit binds, by how much, and the nearest plan.
        binding: names of the limits without which some plan would do.
    """

    def __init__(self, message: str, binding: tuple[str, ...] = ()) -> None:
        self.binding = binding
        super().__init__(message)


class RefusedError(WorkbenchError):
    """A request that is not served as the plan is."""


class BoundError(RefusedError):
    """What is bound to one place would be computed elsewhere.

    Args:
        message: what is bound, where it would have gone, and the way out.
        subject: the feature or class of data.
    """

    def __init__(self, message: str, subject: str = "") -> None:
        self.subject = subject
        super().__init__(message)


class OfflineError(RefusedError):
    """There is no link, and the plan has nothing that answers without."""


class ModelError(WorkbenchError):
    """A model that cannot be used."""


class ModelNotFoundError(ModelError):
    """Neither shipped, nor a folder, nor a reachable hub id."""


class CheckpointError(ModelError):
    """Weights that are corrupt, truncated or incomplete."""


class AdapterError(ModelError):
    """An adapter that is missing, damaged or of another base."""


class TokenizerError(ModelError):
    """A tokenizer that is missing or belongs to another model."""


class UnsupportedArchitectureError(ModelError):
    """A model that cannot be split truthfully."""


class LinkError(WorkbenchError):
    """A link that cannot be made, or that broke."""


class LinkMismatchError(LinkError):
    """A link that is not what it says.

    Args:
        message: what is off, and the way out.
        verification: a ``links.Verification``: every figure that was measured.
    """

    def __init__(self, message: str, verification: object = None) -> None:
        self.verification = verification
        super().__init__(message)


class ThrottleError(WorkbenchError):
    """A host that cannot pose as the device."""


class TransportError(WorkbenchError):
    """Talking to the other side failed."""


class AddressInUseError(TransportError):
    """Somebody else listens at that address."""


class PeerError(TransportError):
    """The other side reported a failure; the message is its own."""


class PeerLostError(TransportError):
    """The other side did not answer in time, or went away."""


class ProtocolError(TransportError):
    """A message that is malformed, oversized or of another version."""


class StudyError(WorkbenchError):
    """A study that cannot be opened or run."""


class StudyVersionError(StudyError):
    """A study file that another version wrote."""


class MissingDependencyError(WorkbenchError, ImportError):
    """An optional package is needed.

    Args:
        package: what is missing.
        purpose: what it is needed for.
        extra: the extra of this project that brings it.
    """

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        self.package, self.purpose, self.extra = package, purpose, extra
        super().__init__(f"{purpose} needs {package}: pip install 'edge-cloud-workbench[{extra}]'")

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str, str]]:
        return type(self), (self.package, self.purpose, self.extra)


class CancelledRunError(WorkbenchError):
    """The user stopped it."""
