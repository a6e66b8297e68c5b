"""``workbench demo``: the main job without a browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from workbench import deployment, profiles
from workbench.cli.progress import Progress
from workbench.cli.study import front_text
from workbench.cli.text import quantity, table, trace_table
from workbench.models import Model, load_model
from workbench.plan import Plan
from workbench.planner.verdict import verdict
from workbench.profiles import DeviceProfile, LinkProfile
from workbench.studies import Study
from workbench.trace import RequestTrace

__all__ = ["run"]

_PROMPT = "def read(self, size):\n"
_NEW_TOKENS = 32


def run(args: argparse.Namespace) -> int:
    """Predict a split, run it for real, search for better ones, write it all down."""
    model = load_model("tiny")
    edge, cloud = deployment.device("raspberry-pi-5"), deployment.device("host")
    link = profiles.link("lte")
    plan = deployment.split(model, at=model.n_blocks // 2, edge_bits=8, cloud_bits=16, wire="int8")
    print(f"1. Predict: {plan}\n   {edge.title}, {link.title}, {cloud.title}\n")
    _predict(model, plan, edge, cloud, link)
    print("\n2. Run it: two processes, a shaped path between them\n")
    predicted, measured = _run(model, plan, edge, cloud, link)
    print(f"\n3. Search: {args.trials} plans\n")
    study = _search(model, edge, cloud, link, args)
    print(front_text(study))
    print("\n4. Written\n")
    print("\n".join(map(str, study.export(args.out, runs=[(predicted, measured)]).values())))
    return 0


def _predict(model: Model, plan: Plan, edge: DeviceProfile, cloud: DeviceProfile, link: LinkProfile) -> None:
    plans = {
        "split": plan,
        "edge-only": deployment.edge_only(model),
        "cloud-only": deployment.cloud_only(model),
    }
    traces = {
        name: deployment.predict(p, edge, cloud, link, new_tokens=_NEW_TOKENS, model=model)
        for name, p in plans.items()
    }
    print(trace_table(list(traces.items())))
    print(f"\n{verdict(traces['split'], traces['edge-only'], traces['cloud-only']).text}")


def _run(
    model: Model, plan: Plan, edge: DeviceProfile, cloud: DeviceProfile, link: LinkProfile
) -> tuple[RequestTrace, RequestTrace]:
    with deployment.deploy(plan, edge, cloud, link, model=model) as running:
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
    rows = []
    for left, right in zip(predicted.numbers(), measured.numbers(), strict=False):
        error = f"{left.value / right.value - 1:+.1%}" if right.value and right.label == "measured" else "–"
        rows.append(
            [
                left.name,
                quantity(left.value, left.unit),
                quantity(right.value, right.unit),
                right.label,
                error,
            ]
        )
    return table([f"{measured.clock} clock", "predicted", "run", "label", "error"], rows)


def _search(
    model: Model, edge: DeviceProfile, cloud: DeviceProfile, link: LinkProfile, args: argparse.Namespace
) -> Study:
    out: Path = args.out
    out.mkdir(parents=True, exist_ok=True)
    study = Study(model, edge, cloud, link, storage=out / "study.db", new_tokens=_NEW_TOKENS)
    left = args.trials - len(study.records())  # a study that is there goes on
    if left > 0:
        study.optimize(left, on_trial=Progress(left))
    return study
