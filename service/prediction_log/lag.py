"""How far the shipper is behind, in Prometheus's text form on a port of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from bentos.errors import InvalidSetting
from service.metric_names import SHIPPER_HELP, Shipper
from service.micros import to_micros
from service.prediction_log.chunks import Cursor
from service.prediction_log.progress import Progress
from service.prediction_log.segments import number_of, segments_of


class Lag(Collector):
    """What is known of a shipper, found out when Prometheus asks."""

    def __init__(self, progress: Progress, spool_folder: Path, *, clock: Callable[[], datetime]) -> None:
        self._progress = progress
        self._spool_folder = spool_folder
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """One family a name. The spools are labels: one a worker that lives, or died with records left."""
        shipped = self._progress.shipped
        rows = CounterMetricFamily(*_named(Shipper.ROWS), labels=["kind"])
        for kind in ("prediction", "outcome", "treatment"):
            rows.add_metric([kind], getattr(shipped, f"{kind}s"))
        yield rows
        yield CounterMetricFamily(*_named(Shipper.DUPLICATES), value=shipped.duplicates)
        yield CounterMetricFamily(*_named(Shipper.BAD_LINES), value=shipped.bad_lines)
        yield CounterMetricFamily(*_named(Shipper.PASSES_FAILED), value=self._progress.passes_failed)
        yield from self._spools()

    def _spools(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(*_named(Shipper.SPOOL_BYTES), labels=["spool"])
        ages = GaugeMetricFamily(*_named(Shipper.WATERMARK_AGE), labels=["spool"])
        now = to_micros(self._clock())
        for folder in sorted(path for path in self._spool_folder.glob("*") if path.is_dir()):
            cursor, watermark = self._progress.spools.get(folder.name, (Cursor(), 0))
            waiting.add_metric([folder.name], bytes_behind(folder, cursor))
            if watermark:  # none is known before the first pass that reached the end
                ages.add_metric([folder.name], (now - watermark) / 1e6)
        yield waiting
        yield ages


def bytes_behind(folder: Path, cursor: Cursor) -> int:
    """What stands in a spool behind a cursor, bytes."""
    behind = 0
    for segment in segments_of(folder):
        try:
            size = segment.stat().st_size
        except FileNotFoundError:  # shipped and deleted meanwhile
            continue
        shipped = cursor.offset if number_of(segment) == cursor.segment else 0
        behind += max(size - shipped, 0)
    return behind


@contextmanager
def serving_metrics(progress: Progress, spool_folder: Path, *, host: str, port: int) -> Iterator[int]:
    """Answer `/metrics` while the block runs; gives the port.

    Raises:
        InvalidSetting: The port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(Lag(progress, spool_folder, clock=lambda: datetime.now(UTC)))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as e:
        raise InvalidSetting(f"the shipper's metrics cannot be served on {host}, port {port}: {e.strerror or e}") from e
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _named(name: str) -> tuple[str, str]:
    return name.removesuffix("_total"), SHIPPER_HELP[name]
