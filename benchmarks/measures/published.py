"""Analytic decode rates beside published ones, each device predicted from the rates of the others.

    python -m benchmarks.measures.published

Nothing is run: the rates are those of ``data/published``, the model is ``workbench.cost.published``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from workbench.cost.fit import decode_rate
from workbench.cost.published import (
    PROCESSORS,
    Prediction,
    PublishedRate,
    leave_one_device_out,
    leave_one_rate_out,
    published_rates,
    quantile,
    within_sample,
)
from workbench.profiles import DeviceProfile, device_profiles

__all__ = ["published"]

_SAME = 1e-3  # a profile may quote the same rate with a digit less
Case = dict[str, Any]


def main() -> None:
    """Print every figure."""
    print(json.dumps(published()[0], indent=2))


def published() -> tuple[dict[str, float], list[Case]]:
    """Figures by name, and one case for each published rate.

    ``published_error_*`` is of devices that were left out, chip by chip; the others say what that is to be
    compared with: what the form holds of rates that it has seen, one device's own rates predicted from each
    other, whole generations or whole sources left out, and shipped profiles on rates not used for them.
    """
    rates = published_rates()
    left_out = leave_one_device_out(rates)
    sets = {
        "error": left_out,
        "in_sample_error": within_sample(rates),
        "left_rate_error": leave_one_rate_out(rates),
        "left_generation_error": leave_one_device_out(rates, lambda rate: rate.generation),
        "left_source_error": leave_one_device_out(rates, lambda rate: rate.rate.source.url),
        "shipped_error": _by_shipped_profiles(rates),
        **{f"{kind.replace('-', '_')}_error": _of(left_out, kind) for kind in PROCESSORS},
    }
    counts = {
        "published_rates": len(rates),
        "published_devices": len({rate.device for rate in rates}),
        "published_chips": len({rate.family for rate in rates}),
    }
    return {**counts, **_figures(sets)}, [_case(prediction) for prediction in left_out]


def _figures(sets: dict[str, Sequence[Prediction]]) -> dict[str, float]:
    shares = {"median": 0.5, "p90": 0.9}
    return {
        f"published_{name}_{word}": quantile(predictions, share)
        for name, predictions in sets.items()
        for word, share in shares.items()
    }


def _of(predictions: Iterable[Prediction], kind: str) -> list[Prediction]:
    return [p for p in predictions if p.published.processor == kind]


def _by_shipped_profiles(rates: Iterable[PublishedRate]) -> list[Prediction]:
    """The shipped profiles, fitted to a few rates of their own, on all others of the same device."""
    devices = device_profiles()
    return [
        Prediction(rate, _modelled(devices[rate.device], rate))
        for rate in rates
        if rate.device in devices and not _fitted_to(devices[rate.device], rate)
    ]


def _fitted_to(device: DeviceProfile, rate: PublishedRate) -> bool:
    own = rate.rate.tokens_per_s
    return any(abs(seen.tokens_per_s / own - 1.0) < _SAME for seen in device.decode_rates)


def _modelled(device: DeviceProfile, rate: PublishedRate) -> float:
    kernel = device.kernel(16)
    reached = kernel.block_overhead_s, kernel.bandwidth_bytes_per_s
    return decode_rate(rate.rate.n_blocks, rate.rate.n_bytes, *reached)


def _case(prediction: Prediction) -> Case:
    rate = prediction.published
    return {
        "device": rate.device,
        "chip": rate.family,
        "processor": rate.processor,
        "runtime": rate.runtime,
        "model": rate.rate.model,
        "published_tokens_per_s": rate.rate.tokens_per_s,
        "modelled_tokens_per_s": prediction.tokens_per_s,
        "error": prediction.error,
    }


if __name__ == "__main__":
    main()
