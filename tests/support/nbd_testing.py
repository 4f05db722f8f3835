"""NBD servers of the test's own."""
import json
import socket
import subprocess

from imgtool_testing import check, wait_until


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


def dirty_ranges(test, image, bitmap):
    """What qemu finds in a persistent bitmap of a qcow2 image: (offset, length) of each range."""
    place = test.path()
    server = subprocess.Popen(["qemu-nbd", "-r", "-t", "-f", "qcow2", "-B", bitmap, "-k", place,
                               image])
    try:
        wait_until(place.exists, "qemu-nbd")
        target = {"driver": "nbd", "server": {"type": "unix", "path": str(place)},
                  "x-dirty-bitmap": f"qemu:dirty-bitmap:{bitmap}"}
        found = json.loads(check("qemu-img", "map", "--output=json", "json:" + json.dumps(target)))
    finally:
        server.terminate()
        server.wait()
    ranges = []
    for part in found:
        if part["data"]:
            continue  # with x-dirty-bitmap what is dirty shows as no data
        if ranges and sum(ranges[-1]) == part["start"]:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + part["length"])
        else:
            ranges.append((part["start"], part["length"]))
    return ranges
