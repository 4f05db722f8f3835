"""NBD servers of the test's own."""
import socket

from imgtool_testing import wait_until


def free_port():
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens_on(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve_nbd(test, image, *where):
    """nbdkit shows `image` until the test ends; `where` are its options: -U SOCKET, or -p PORT."""
    test.start(["nbdkit", "--foreground", *where, "file", image])
    place = where[where.index("-U" if "-U" in where else "-p") + 1]
    wait_until((lambda: listens_on(place)) if "-p" in where else place.exists, "nbdkit", timeout=30)
