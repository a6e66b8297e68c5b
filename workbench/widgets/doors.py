"""The front doors: a panel that explores one plan, one that searches many, one that surveys where splitting
pays, one that watches a link."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.exploration import Setting, SurveySetting
from workbench.plan import Plan
from workbench.profiles import DeviceProfile, LinkProfile, ModelProfile
from workbench.studies import Question, Space
from workbench.widgets.explorer import Explorer
from workbench.widgets.profile_choice import device_of, link_of
from workbench.widgets.search_panel import SearchPanel
from workbench.widgets.survey_panel import SurveyPanel
from workbench.widgets.watch_panel import NetworkPanel

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["explore", "search", "survey", "watch"]

_PRIVATE_SHARE = 8  # one block in so many stays with the embedding of a private prompt, to begin with


def explore(
    model: Model | ModelProfile | str = "tiny",
    *,
    edge: DeviceProfile | str = "raspberry-pi-5",
    cloud: DeviceProfile | str = "h100-sxm",
    link: LinkProfile | str = "lte",
    plan: Plan | None = None,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    batch: int = 1,
    runs: str | os.PathLike[str] | None = None,
    accuracy: bool | None = None,
) -> Explorer:
    """Sliders and a live picture of what cutting a model does. Put it last in a cell, or ``display`` it.

    Args:
        model: a model of ``load_model``, its name, or a profile alone, which can be predicted but not run.
        edge, cloud: device profiles or their names; ``"host"`` is this machine.
        link: a link profile or its name.
        plan: to begin with; None cuts in the middle.
        prompt_tokens, new_tokens, batch: the request to begin with.
        runs: a JSON file that keeps the runs; None keeps them in memory.
        accuracy: whether to measure each plan's accuracy; None does for models up to 200 million parameters.

    Raises:
        UnknownNameError: no model, device or link is called so.
        InputError: a request, plan or file of runs that cannot be.
    """
    model = _model(model)
    profile = model if isinstance(model, ModelProfile) else model.profile
    setting = Setting(
        model=profile.name,
        n_blocks=profile.n_blocks,
        edge=device_of(edge),
        cloud=device_of(cloud),
        link=link_of(link),
        split=profile.n_blocks // 2,
        back=profile.n_blocks,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        batch=batch,
    )
    return Explorer(model, setting if plan is None else setting.with_plan(plan), runs=runs, accuracy=accuracy)


def search(
    model: Model | ModelProfile | str = "tiny",
    *,
    edge: DeviceProfile | str = "raspberry-pi-5",
    cloud: DeviceProfile | str = "h100-sxm",
    link: LinkProfile | str = "lte",
    objectives: Sequence[str] = ("latency", "accuracy"),
    space: Space | None = None,
    limits: Mapping[str, float] | None = None,
    storage: str | os.PathLike[str] = "studies.db",
    name: str | None = None,
    prompt_tokens: int = 64,
    new_tokens: int = 32,
    batch: int = 1,
    explorer: Explorer | None = None,
) -> SearchPanel:
    """A panel that searches plans and shows what is found while it is found. Put it last in a cell.

    Where the file has the study already, the panel shows it, and a search that was interrupted can go on.

    Args:
        model: a model of ``load_model``, its name, or a profile alone, which knows no accuracy.
        edge, cloud, link: profiles or their names; ``"host"`` is this machine.
        objectives: names from `records.OBJECTIVES`.
        space: what may be chosen; every split point by default.
        limits: by objective, what a plan may have at most, or for what is to be large at least.
        storage: the SQLite file of the studies, made when the first one begins.
        name: of the study; None is named by what it asks.
        prompt_tokens, new_tokens, batch: the request whose cost is predicted.
        explorer: a panel of ``wb.explore`` that a chosen plan is shown in, and run.

    A file that cannot be used, because another process holds it or another version wrote it, is said in the
    panel, where another one can be given.

    Raises:
        UnknownNameError: no model, device, link or objective is called so.
        InputError: a request or space that cannot be.
    """
    model = _model(model)
    question = Question(
        model=model if isinstance(model, ModelProfile) else model.profile,
        edge=device_of(edge),
        cloud=device_of(cloud),
        link=link_of(link),
        objectives=tuple(objectives),
        space=space or Space(),
        limits=dict(limits or {}),
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        batch=batch,
    )
    return SearchPanel(model, question, storage, name=name, explorer=explorer)


def survey(
    model: Model | ModelProfile | str = "llama-3-8b",
    *,
    edge: DeviceProfile | str = "jetson-agx-orin",
    cloud: DeviceProfile | str = "h100-sxm",
    link: LinkProfile | str = "fibre",
    prompt_tokens: int = 256,
    new_tokens: int = 64,
    aim: str = "total",
    private: bool = True,
) -> SurveyPanel:
    """A panel about whether to split: a map of who wins where, with sliders. Put it last in a cell.

    Nothing is run and no weights are needed: all is planned, plan by plan, from profiles.

    Args:
        model: a model, its profile, or what ``models.read_architecture`` takes: a name, folder or hub id.
        edge, cloud, link: profiles or their names; ``"host"`` is this machine.
        prompt_tokens, new_tokens: the request to begin with.
        aim: what plans are compared by, of ``exploration.AIMS_SHOWN``.
        private: whether prompts stay on the edge to begin with: the embedding, and the first blocks.

    Raises:
        ModelNotFoundError, UnknownNameError: no model, device, link or aim is called so.
        InputError: a request that cannot be, or one out of the sliders' reach.
    """
    profile = _architecture(model)
    return SurveyPanel(
        SurveySetting(
            model=profile,
            edge=device_of(edge),
            cloud=device_of(cloud),
            link=link_of(link),
            prompt_tokens=prompt_tokens,
            new_tokens=new_tokens,
            aim=aim,
            embedding_here=private,
            first_blocks=max(1, profile.n_blocks // _PRIVATE_SHARE),
        )
    )


def watch(link: LinkProfile | str = "lte", *, kind: str = "proxy", load: str = "steady") -> NetworkPanel:
    """A panel on a link that runs: sliders change it, and what it does is drawn. Put it last in a cell.

    Args:
        link: a link profile or its name, to begin with.
        kind: ``"proxy"`` runs anywhere, ``"netem"`` where the kernel has it and allows it, ``"simulated"``
            sends nothing and computes.
        load: ``"steady"`` keeps the path full both ways, ``"bursts"`` for one second in five, ``"none"``
            never: then only round trips are measured.

    Raises:
        UnknownNameError: no link, kind or load is called so.
        InputError: the link is out of the sliders' reach.
    """
    return NetworkPanel(link_of(link), kind, load)


def _architecture(model: Model | ModelProfile | str) -> ModelProfile:
    if isinstance(model, ModelProfile):
        return model
    if isinstance(model, str):
        from workbench.models import read_architecture  # what was never read needs torch

        return read_architecture(model)
    return model.profile


def _model(model: Model | ModelProfile | str) -> Model | ModelProfile:
    if not isinstance(model, str):
        return model
    from workbench.models import load_model  # brings torch

    return load_model(model)
