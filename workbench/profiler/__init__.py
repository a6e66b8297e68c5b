"""Measures this host: as a ``DeviceProfile``, and each block of a model as a ``ModelProfile`` with times.

The measuring is done in a process of its own, under the same settings as the two sides of a run, and kept
in the user's cache folder by processor, threads, library versions and model.
"""

from workbench.profiler.calibration import HOST, calibrate_host, host
from workbench.profiler.models import kept_times, measure_model

__all__ = ["HOST", "calibrate_host", "host", "kept_times", "measure_model"]
