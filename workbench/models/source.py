"""Where a model's files are: shipped with the workbench, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from workbench.errors import ModelNotFoundError
from workbench.profiles import DATA

__all__ = ["Source", "find_source", "shipped_models"]

_SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]  # all but weights: configuration and tokenizer
_NO_CONFIG = "it has no config.json"


@dataclass(frozen=True)
class Source:
    """The files of one model at one version."""

    name: str  # as the user gave it
    folder: Path  # the files, or those of them that were fetched
    repo: str | None = None  # hub id, where it came from the hub
    revision: str | None = None  # the hub's commit, so that every file is of one version
    local_files_only: bool = False

    def find(self, filename: str) -> Path | None:
        """A file of the model; weights of a hub model are fetched when first asked for.

        Raises:
            ModelNotFoundError: it exists on the hub, but is neither here nor can it be fetched.
        """
        path = self.folder / filename
        if path.is_file():
            return path
        if self.repo is None:
            return None
        try:
            return Path(
                hf_hub_download(
                    self.repo, filename, revision=self.revision, local_files_only=self.local_files_only
                )
            )
        except LocalEntryNotFoundError as error:
            raise _not_found(self.name, f"its {filename} is not on this machine: {_cause(error)}") from error
        except EntryNotFoundError:
            return None
        except (OSError, httpx.HTTPError) as error:
            raise _not_found(self.name, f"its {filename} could not be fetched: {_cause(error)}") from error


def shipped_models() -> dict[str, Path]:
    """The models that come with the workbench, by name."""
    return {p.parent.name: p.parent for p in sorted((DATA / "models").glob("*/config.json"))}


def find_source(
    name: str | os.PathLike[str], *, revision: str | None = None, local_files_only: bool = False
) -> Source:
    """Find a model by shipped name, folder or hub id, in this order.

    Raises:
        ModelNotFoundError: it is none of these, or cannot be reached; says what was looked for and where.
    """
    text = os.fspath(name)
    if isinstance(name, str) and text in shipped_models():
        return Source(text, shipped_models()[text])
    if Path(text).expanduser().exists():
        return _folder(text)
    if not isinstance(name, str) or _is_a_path(text):
        raise _not_found(text, "there is no such folder")
    if "/" not in text and _near(text):
        raise _not_found(
            text, "it is neither a shipped model nor a folder here, and looks like a slip of the pen"
        )
    return _hub(text, revision, local_files_only)


def _folder(text: str) -> Source:
    folder = Path(text).expanduser().resolve()
    if folder.is_file():
        raise _not_found(text, "it is a file: give the folder that holds config.json and the weights")
    if not (folder / "config.json").is_file():
        raise _not_found(text, f"the folder is there, but {_NO_CONFIG}")
    return Source(text, folder)


def _hub(text: str, revision: str | None, local_files_only: bool) -> Source:
    try:
        folder = Path(
            snapshot_download(
                text, revision=revision, local_files_only=local_files_only, allow_patterns=_SMALL_FILES
            )
        )
    except HFValidationError as error:
        raise _not_found(text, f"it is no valid hub id either ({_cause(error)})") from error
    except GatedRepoError as error:
        why = "its owner asks you to accept terms on its page first; then log in with: hf auth login"
        raise _not_found(text, why) from error
    except RevisionNotFoundError as error:
        raise _not_found(text, f"the hub has it, but no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise _not_found(text, "the hub knows no such model (or it is private: hf auth login)") from error
    except (OSError, httpx.HTTPError, ValueError) as error:
        raise _not_found(text, _unreachable(text, local_files_only, error)) from error
    if not (folder / "config.json").is_file():
        raise _not_found(text, f"the hub's repository is there, but {_NO_CONFIG}")
    return Source(text, folder, text, folder.name, local_files_only)


def _unreachable(text: str, local_files_only: bool, error: Exception) -> str:
    asked = (
        "only local files were allowed" if local_files_only else f"the hub did not answer: {_cause(error)}"
    )
    cache = constants.HF_HUB_CACHE
    return (
        f"no folder of that name is here, the download cache {cache} does not hold it, and {asked}. "
        f"With a network, fetch it: hf download {text} — or copy its folder here and give the path"
    )


def _not_found(name: str, why: str) -> ModelNotFoundError:
    near = _near(name)
    hint = f"did you mean {near!r}? " if near else ""
    shipped = ", ".join(shipped_models()) or "none"
    return ModelNotFoundError(
        f"model {name!r} cannot be used: {why}. {hint}Shipped models: {shipped}; "
        "anything else is a folder, or a hub id such as 'org/name'"
    )


def _near(name: str) -> str | None:
    return next(iter(difflib.get_close_matches(name, shipped_models(), n=1, cutoff=0.7)), None)


def _is_a_path(text: str) -> bool:
    return text.startswith((".", "~", os.sep)) or text.count("/") > 1 or "\\" in text


def _cause(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
