"""The spool as scoring uses it: opened by its settings, looked after by a timer."""

from __future__ import annotations

import asyncio
import shutil

from serving_app import served
from serving_toys import FEATURES
from spool_toys import ids_in

from service.prediction_log.segments import segments_of


def score(app, number: int) -> str:
    answer = app.post("/v1/score", {"customer_id": f"c{number}", "features": FEATURES})
    assert answer.status_code == 200
    return answer.json()["prediction_id"]


def test_segments_are_as_large_as_the_settings_say(tmp_path):
    with served(tmp_path, spool_segment_bytes=65_536) as app:
        spool = tmp_path / "spool" / "toy"
        told = [score(app, number) for number in range(130)]
        sizes = [segment.stat().st_size for segment in segments_of(spool)]
        assert len(sizes) > 1
        assert 60_000 < sizes[0] <= 65_536
        assert sorted(ids_in(spool)) == sorted(told)


def test_a_spool_deleted_under_a_server_to_which_nobody_speaks_is_made_again(tmp_path):
    with served(tmp_path, watch_interval_seconds=0.01) as app:
        spool = tmp_path / "spool" / "toy"
        told = score(app, 1)
        shutil.rmtree(tmp_path / "spool")

        async def look_on() -> None:
            await app.application.start()
            while not spool.exists() or not ids_in(spool):
                await asyncio.sleep(0.01)  # pytest's own timeout ends it

        app.loop.run_until_complete(look_on())
        assert ids_in(spool) == [told]
