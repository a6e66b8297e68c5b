"""``workbench demo``: the main job without a browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench import deployment, profiles
from workbench.cli.options import Setting
from workbench.cli.progress import Progress
from workbench.cli.study import front_text
from workbench.cli.text import quantity, table, trace_table
from workbench.models import Model, load_model
from workbench.plan import Plan
from workbench.planner import verdict
from workbench.profiles import LinkProfile
from workbench.studies import Study
from workbench.trace import Number, RequestTrace

__all__ = ["run"]

_PROMPT = "def read(self, size):\n"
_NEW_TOKENS = 32


def run(args: argparse.Namespace) -> int:
    """Predict a split, run it for real, search for better ones, write it all down."""
    model = load_model("tiny")
    setting = Setting(
        deployment.device("raspberry-pi-5"), deployment.device("h100-sxm"), profiles.link("lte")
    )
    plan = deployment.split(model, at=3, edge_bits=4, wire="int8")
    print(f"1. Predict {plan}")
    print(f"   {setting.edge.title}, {setting.link.title}, {setting.cloud.title}\n")
    _predict(model, plan, setting)
    print("\n2. Run it here: two processes, a shaped path between them\n")
    predicted, measured = _run(model, plan, setting.link)
    print(f"\n3. Search {args.trials} plans\n")
    study = _search(model, setting, args.trials, args.out)
    print(front_text(study))
    print("\n4. Written\n")
    print("\n".join(map(str, study.export(args.out, runs=[(predicted, measured)]).values())))
    return 0


def _predict(model: Model, plan: Plan, setting: Setting) -> None:
    plans = {
        "split": plan,
        "edge-only": deployment.edge_only(model),
        "cloud-only": deployment.cloud_only(model),
    }
    traces = {name: _predicted(p, setting, model) for name, p in plans.items()}
    print(trace_table(list(traces.items())))
    print(f"\n{verdict(traces['split'], traces['edge-only'], traces['cloud-only'])}")


def _predicted(plan: Plan, setting: Setting, model: Model) -> RequestTrace:
    return deployment.predict(
        plan, setting.edge, setting.cloud, setting.link, new_tokens=_NEW_TOKENS, model=model
    )


def _run(model: Model, plan: Plan, link: LinkProfile) -> tuple[RequestTrace, RequestTrace]:
    """Predicted and measured: this host as it is in both parts, so that every time is measured."""
    host = deployment.device("host")
    with deployment.deploy(plan, host, host, link, model=model) as running:
        print(_PROMPT, end="")
        measured = running.generate(_PROMPT, max_new_tokens=_NEW_TOKENS, on_token=_show)
        predicted = running.predict_same(measured)
    print("\n")
    print(_comparison(predicted, measured))
    print("".join(f"note: {note}\n" for note in measured.notes), end="")
    return predicted, measured


def _show(piece: str) -> None:
    print(piece, end="", flush=True)


def _comparison(predicted: RequestTrace, measured: RequestTrace) -> str:
    modelled = {number.name: number for number in predicted.numbers()}
    rows = [_compared(modelled[found.name], found) for found in measured.numbers() if found.name in modelled]
    return table([f"{measured.clock} clock", "predicted", "run", "label", "error"], rows)


def _compared(modelled: Number, found: Number) -> list[str]:
    error = f"{modelled.value / found.value - 1:+.1%}" if found.value and found.label == "measured" else "–"
    values = [quantity(number.value, number.unit) for number in (modelled, found)]
    return [found.name, *values, found.label, error]


def _search(model: Model, setting: Setting, n_trials: int, out: Path) -> Study:
    out.mkdir(parents=True, exist_ok=True)
    storage = out / "study.db"
    study = Study(model, setting.edge, setting.cloud, setting.link, storage=storage, new_tokens=_NEW_TOKENS)
    left = n_trials - len(study.records())  # a study that is there goes on
    if left > 0:
        study.optimize(left, on_trial=Progress(left))
    return study
