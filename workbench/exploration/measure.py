"""Running a setting for real: a request of just that length, alone on this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event
from typing import IO, TYPE_CHECKING

import psutil

from workbench.cache import cache_folder
from workbench.deployment import deploy
from workbench.errors import CancelledRunError, PromptError
from workbench.evaluation.suite import suite_named
from workbench.exploration.runs import Run
from workbench.exploration.setting import Setting
from workbench.trace import RequestTrace

if TYPE_CHECKING:
    from workbench.deployment import Deployment
    from workbench.models import Model

__all__ = ["measure", "prompt_of", "turn"]

_POLL_S = 0.05
_BUSY_SHARE = 0.3  # of all processors, taken by others: from here on times are likely to suffer
_LISTEN_S = 0.3
_WARM_UP = 2  # tokens: the first prefill of a length takes half as long again as the next ones


def measure(
    model: Model,
    setting: Setting,
    *,
    prompt: str = "",
    stop: Event | None = None,
    on_stage: Callable[[str], None] = lambda _: None,
    on_token: Callable[[str], None] = lambda _: None,
) -> Run:
    """Run a setting's request in two processes over its link, after a warm-up with the same prompt.

    One at a time on this machine: others wait for their turn, so that they do not slow each other.

    Args:
        prompt: what to send; empty takes held-out prose of just ``setting.prompt_tokens`` tokens.
        stop: set from any thread to end it within a second; nothing is left running.
        on_stage: told what happens now, in words.
        on_token: gets each piece of the first sequence's text as it comes.

    Raises:
        CancelledRunError: ``stop`` was set.
        DoesNotFitError: a device cannot hold its stages.
        LinkError: it is predicted as netem, and this machine cannot make such a link.
        WorkbenchError: what else kept a side from starting or answering.
    """
    stop = stop or Event()
    text = prompt or prompt_of(model, setting.prompt_tokens)
    with turn(stop, lambda: on_stage("waiting for another measurement on this machine to end")):
        busy = _busy_share(stop)
        on_stage("starting the edge and the cloud process")
        with deploy(
            setting.plan,
            setting.edge,
            setting.cloud,
            setting.link,
            model=model,
            link_kind=_link_kind(setting),
            stop=stop,
        ) as deployment:
            on_stage("warming up")
            _generate(deployment, replace(setting, new_tokens=min(_WARM_UP, setting.new_tokens)), text, stop)
            on_stage(f"running on the {deployment.clock} clock")
            measured = _generate(deployment, setting, text, stop, on_token)
            predicted = deployment.predict_same(measured)
    return _run(setting, predicted, _with_load(measured, busy))


def _link_kind(setting: Setting) -> str:
    """Over the kernel's netem what is predicted so; all else over the relay, which runs anywhere."""
    return "netem" if setting.link_kind == "netem" else "proxy"


def _generate(
    deployment: Deployment,
    setting: Setting,
    text: str,
    stop: Event,
    on_token: Callable[[str], None] | None = None,
) -> RequestTrace:
    from workbench.runtime import Sampling  # brings torch

    return deployment.generate(
        [text] * setting.batch,
        max_new_tokens=setting.new_tokens,
        sampling=Sampling(ignore_eos=True),
        on_token=on_token,
        stop=stop,
    )


def _run(setting: Setting, predicted: RequestTrace, measured: RequestTrace) -> Run:
    actual = replace(
        setting,
        prompt_tokens=measured.prompt_tokens,
        new_tokens=measured.n_tokens,
        link_kind=measured.facts["link kind"],
    )
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Run(setting.title, actual, predicted, measured, when)


def prompt_of(model: Model, n_tokens: int) -> str:
    """Held-out prose that the model's tokenizer makes exactly that many tokens of.

    Raises:
        PromptError: no beginning of the prose has that many tokens with this tokenizer.
        TokenizerError: the model has no tokenizer, or another model's.
    """
    prose = "\n\n".join(suite_named("full").texts)
    ids = model.tokenizer(prose[: 16 * n_tokens + 64], add_special_tokens=False)["input_ids"]
    for n in range(n_tokens, 0, -1):
        text = str(model.tokenizer.decode(ids[:n]))
        found = len(model.tokenizer(text)["input_ids"])  # with what the tokenizer puts before it
        if found == n_tokens:
            return text
        if found < n_tokens - 8:
            break
    raise PromptError(f"no prompt of exactly {n_tokens} tokens was found: write one or choose another length")


@contextmanager
def turn(stop: Event, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait until nobody else on this machine measures; the system ends a turn with its process.

    Raises:
        CancelledRunError: ``stop`` was set while waiting.
    """
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "measuring.lock").open("w")
    except OSError:  # a folder that cannot be written: nobody to take turns with
        yield
        return
    with file:
        _lock(file, stop, on_wait)
        yield


def _lock(file: IO[str], stop: Event, on_wait: Callable[[], None]) -> None:
    told = False
    while not _locked(file):
        if not told:
            on_wait()
            told = True
        if stop.wait(_POLL_S):
            raise CancelledRunError("stopped while waiting for another measurement to end")


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _busy_share(stop: Event) -> float:
    """What all other work takes of the processors just now, 0 to 1."""
    psutil.cpu_percent(None)
    stop.wait(_LISTEN_S)
    return psutil.cpu_percent(None) / 100


def _with_load(trace: RequestTrace, busy: float) -> RequestTrace:
    if busy < _BUSY_SHARE or trace.clock != "wall":
        return trace
    note = f"other work kept {busy:.0%} of the processors busy just before: times may be too long"
    return replace(trace, notes=(*trace.notes, note))
