"""A push that is killed at any moment leaves a board that serves."""

import asyncio
import json
import multiprocessing
import random
import time

import pytest
from ssh_server import make_bundle, push_and_wait, tar_of

from erpose_edge.deploy.remote import board
from erpose_edge.deploy.remote.push import push_release
from erpose_edge.deploy.remote.results import PushOptions

KILLS = 20
SEED = 5


@pytest.mark.slow
def test_killing_a_push_at_20_random_moments_never_breaks_what_serves(server, tmp_path):
    host, chosen = server.host(tmp_path / "board"), random.Random(SEED)
    bundles = [make_bundle(tmp_path / f"b{number}", number) for number in range(KILLS + 1)]
    order = [bundle.name for bundle in bundles]
    begun = time.monotonic()
    served = push(host, bundles[0]).release
    whole_s = time.monotonic() - begun
    # One process with everything imported, which forks: a push then begins at once.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ssh_server", "erpose_edge.deploy.remote.push"])
    cut = 0
    for bundle in bundles[1:]:
        process = context.Process(
            target=push_and_wait, args=(host.model_dump(mode="json"), bundle.folder), daemon=True
        )
        process.start()
        process.join(chosen.uniform(0.05, 0.95) * whole_s)
        if process.is_alive():
            process.kill()
            cut += 1
        process.join()
        process.close()
        current = (tmp_path / "board" / "current").resolve()
        # A switch that was under way ends after the kill: never back, always to a whole release.
        assert order.index(current.name) >= order.index(served)
        assert board._damage(current) is None
        assert json.loads((current / "certificate.json").read_text())["verdict"]["pass"]
        served = current.name
    assert cut > KILLS // 2
    result = push(host, bundles[-1])
    assert (result.status, result.release) == ("served", bundles[-1].name)
    assert not [path for path in (tmp_path / "board" / "releases").iterdir() if path.name[0] == "."]


def push(host, bundle):
    tar = tar_of(bundle.folder)
    return asyncio.run(push_release(host, tar, bundle, PushOptions(), lambda event: None))
