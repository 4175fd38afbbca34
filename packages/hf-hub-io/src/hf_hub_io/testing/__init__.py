"""A small Hub on loopback for tests: `with FakeHub() as hub: hub.add("org/name", {...})`.

It is a real HTTP server, so the client's own code runs: caching, locking, resuming, retrying. Pass
`hub.url` as `endpoint`, or set HF_ENDPOINT to it before huggingface_hub is imported.
`hub.environment(home)` gives the environment for a child process. Tests need `@pytest.mark.enable_socket`
where sockets are blocked.
"""

from hf_hub_io.testing.fake_hub import FakeHub
from hf_hub_io.testing.state import Cut, FakeRepo, Fault, Refuse, Seen

__all__ = ["Cut", "FakeHub", "FakeRepo", "Fault", "Refuse", "Seen"]
