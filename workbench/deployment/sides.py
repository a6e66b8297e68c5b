"""One side of a plan at work: a process, held by a throttle, where the link wants it."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import TYPE_CHECKING, Any

from workbench.devices import WORKER_ENVIRONMENT, Throttle, make_throttle, threads_for
from workbench.errors import PeerLostError, ThrottleError
from workbench.links import Site
from workbench.profiles import DeviceProfile
from workbench.runtime.process import Child

if TYPE_CHECKING:
    from workbench.models import Model

__all__ = ["Side", "throttles_for"]


class Side:
    """A stage process and what holds it to its device.

    Args:
        worker: its module in ``workbench.runtime``.
        threads: it may compute with, where the throttle leaves it more.
    """

    def __init__(
        self, worker: str, config: Mapping[str, Any], throttle: Throttle, site: Site, threads: int
    ) -> None:
        self.throttle = throttle
        threads = min(threads, throttle.threads or threads)
        environment = {
            **WORKER_ENVIRONMENT,
            "OMP_NUM_THREADS": str(threads),
            **throttle.environment(),
        }
        whole = {**config, "threads": threads, "options": throttle.options()}
        self._child = Child(f"workbench.runtime.{worker}", None, environment, site.start)
        try:
            throttle.hold(self._child.pid)  # it waits for its first line, and has loaded nothing
            self._child.send(whole)
        except BaseException:
            self._child.kill()
            throttle.close()
            raise

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, command: Mapping[str, Any]) -> None:
        """As ``Child.send``."""
        self._child.send(command)

    def receive(
        self, timeout_s: float, *, stop: Event | None = None, of: int | None = None
    ) -> dict[str, Any]:
        """As ``Child.receive``; where the throttle ended the process, its reason is raised.

        Raises:
            ThrottleError: the process needed more than its device has, and was ended for it.
        """
        try:
            event = self._child.receive(timeout_s, stop=stop, of=of)
        except PeerLostError as error:
            raise self._ended(error) from error
        if event["event"] == "ready":
            self.throttle.confirm(event["applied"])
        return event

    def poll(self, timeout_s: float) -> dict[str, Any] | None:
        """As ``Child.poll``; where the throttle ended the process, its reason is raised."""
        try:
            return self._child.poll(timeout_s)
        except PeerLostError as error:
            raise self._ended(error) from error

    def _ended(self, error: PeerLostError) -> PeerLostError | ThrottleError:
        reason = self.throttle.verdict()
        return ThrottleError(f"the {self._child.name} process was ended: {reason}") if reason else error

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()
        self.throttle.close()

    def close(self) -> None:
        """End it. May be called again."""
        self._child.close()
        self.throttle.close()


def throttles_for(
    asked: str | Mapping[str, str | Throttle], devices: Mapping[str, DeviceProfile], model: Model
) -> dict[str, Throttle]:
    """A throttle for each place: by kind for all of them, or by place.

    A place that poses as this host is left as it is.

    Args:
        model: a share of this host is taken by how fast it computes this model.

    Raises:
        UnknownNameError: no throttle is called so.
        ThrottleError: the host cannot be made to pose as the device; says what to use instead.
    """
    by_place = dict.fromkeys(devices, asked) if isinstance(asked, str) else dict(asked)
    unknown = set(by_place) - set(devices)
    if unknown:
        raise ThrottleError(f"throttles are for {sorted(devices)}: there is no place {sorted(unknown)}")
    return {
        place: _throttle(by_place.get(place, "dilation"), device, model) for place, device in devices.items()
    }


def _throttle(asked: str | Throttle, device: DeviceProfile, model: Model) -> Throttle:
    if isinstance(asked, Throttle):
        return asked
    if asked == "dilation" or device.kind == "host":
        return make_throttle("dilation", device)
    from workbench.profiler import host  # measuring needs torch and time; dilation needs neither

    return make_throttle(asked, device, host(model), threads=threads_for(model.profile))
