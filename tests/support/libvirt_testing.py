"""A libvirt of the test's own, with guests that run without an operating system or with Debian's
kernel, out of reach for every other libvirt on the machine.

    class Attach(LibvirtTestCase):
        def test_attach(self):
            guest = self.guest()                      # running, and configured
            self.imgtool_ok("attach", "--domain", guest, "--source", self.path("disk.img"))

libvirtd and virtlogd run in namespaces of their own: their sockets, configuration and state are
folders of the test, and when the first process of the namespace is killed, nothing of them is left,
no guest either. One libvirtd serves all tests of a process. A guest takes a second, so some are
shared: bystander() and scsi_guest().
"""
import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest.mock
import xml.etree.ElementTree

from imgtool_testing import MiB, TestCase, requires, requires_root, run, wait_until

QEMU = "qemu-system-x86_64"

# The first process of the namespaces. libvirtd comes back when it dies, its guests live on.
INIT = r"""
mount --make-rprivate /
# What other tests have mounted would stay so here after they unmount it, and their disks in use.
awk '$1 ~ "^/dev/loop" || $2 ~ "/imgtool-test-" { print $2 }' /proc/self/mounts | tac |
    while read -r place; do umount --lazy "$place"; done
mkdir -p /run/libvirt /var/lib/libvirt /var/log/libvirt /etc/libvirt /var/cache/libvirt
mount --bind "$1/run" /run/libvirt
mount --bind "$1/etc" /etc/libvirt
mount --bind "$1/lib" /var/lib/libvirt
mount --bind "$1/log" /var/log/libvirt
virtlogd -p "$1/virtlogd.pid" &
while true; do
    libvirtd -p "$1/libvirtd.pid" &
    wait $!
done
"""

QEMU_CONF = """
user = "root"
group = "root"
dynamic_ownership = 0
security_driver = "none"
namespaces = [ ]
cgroup_controllers = [ ]
"""


class Libvirt:
    """libvirtd, virtlogd, and what they keep; `uri` reaches them."""

    one = None

    @classmethod
    def shared(cls):
        if cls.one is None:
            cls.one = cls()
            atexit.register(cls.one.stop)
        return cls.one

    def __init__(self):
        self.guests = 0
        self.shared_guests = {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="imgtool-libvirt-"))
        for name in ("run", "etc", "lib", "log"):
            (self.folder / name).mkdir()
        self.ramfs = self.folder / "ramfs"  # a file system without direct I/O
        self.ramfs.mkdir()
        run(["mount", "-t", "ramfs", "ramfs", self.ramfs])
        (self.folder / "etc/qemu.conf").write_text(QEMU_CONF)
        (self.folder / "etc/libvirtd.conf").write_text('auth_unix_rw = "none"\n')
        self.socket = self.folder / "run/libvirt-sock"
        self.uri = f"qemu+unix:///system?socket={self.socket}"
        self.log = open(self.folder / "log/out", "wb")
        self.unshare = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", INIT, "init", self.folder],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        try:
            self.wait_until_up()
        except AssertionError:
            self.stop()
            raise

    def wait_until_up(self):
        wait_until(lambda: self.virsh("version", check=False).code == 0, "libvirtd", timeout=90)

    def stop(self):
        self.unshare.kill()
        self.unshare.wait(30)
        self.log.close()
        run(["umount", self.ramfs])
        shutil.rmtree(self.folder, ignore_errors=True)

    def virsh(self, *args, check=True):
        result = run(["virsh", "-q", "-c", self.uri, *args])
        if check and result.code != 0:
            raise AssertionError(f"{result!r}\n{(self.folder / 'log/out').read_text()[-2000:]}")
        return result

    def init_pid(self):
        """That of the namespaces' first process, as seen from here."""
        return int(pathlib.Path(f"/proc/{self.unshare.pid}/task/{self.unshare.pid}/children")
                   .read_text().split()[0])

    def daemon_pid(self):
        """libvirtd's, as seen from here."""
        init = self.init_pid()
        children = pathlib.Path(f"/proc/{init}/task/{init}/children").read_text().split()
        for pid in children:
            if pathlib.Path(f"/proc/{pid}/comm").read_text() == "libvirtd\n":
                return int(pid)
        return None

    def kill_daemon(self):
        """SIGKILL; another one comes up, and finds the guests."""
        pid = self.daemon_pid()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.daemon_pid() not in (None, pid), "another libvirtd")

    # --- domains ---

    def define(self, name, ports=4, disks="", devices="", memory=64, os="", features="<acpi/>",
               metadata="", machine="q35"):
        """A shut-off domain without any disk but `disks`, with `ports` free PCI ports."""
        escaped = xml_text(name)
        pci = ""
        if machine == "q35":  # one port more, for the virtio-scsi controller
            pci = ("<controller type='pci' model='pcie-root'/>" +
                   "<controller type='pci' model='pcie-root-port'/>" * (ports + 1))
        text = f"""<domain type='qemu'><name>{escaped}</name>{metadata}
            <memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>
            <os><type arch='x86_64' machine='{machine}'>hvm</type>{os}</os>
            <features>{features}</features>
            <devices>{pci}<controller type='usb' model='none'/>
            <controller type='scsi' model='virtio-scsi'/><memballoon model='none'/>
            <serial type='file'><source path='{self.console(name)}'/></serial>
            {disks}{devices}</devices></domain>"""
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
            file.write(text)
            file.flush()
            self.virsh("define", file.name)
        return name

    def console(self, name):
        """Where the guest's serial console is written to."""
        return self.folder / "log" / ("console-" + "".join(c if c.isalnum() else "_" for c in name))

    def remove(self, name):
        self.virsh("destroy", name, check=False)
        self.virsh("undefine", name, "--managed-save", check=False)

    def disks(self, name, half):
        """{target: disk element}; `half` is "live" or "config"."""
        inactive = ["--inactive"] if half == "config" else []
        text = self.virsh("dumpxml", name, *inactive).out
        devices = xml.etree.ElementTree.fromstring(text).find("devices")
        return {disk.find("target").get("dev"): disk for disk in devices.findall("disk")}


def xml_text(text):
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"),
                           ("'", "&apos;")):
        text = text.replace(plain, escaped)
    return text


def source_of(disk):
    """What a <disk> is made from: a path, or POOL/VOLUME."""
    source = disk.find("source")
    return source.get("dev") or source.get("file") or f"{source.get('pool')}/{source.get('volume')}"


@requires_root
@requires("libvirtd", "virtlogd", "virsh", "unshare", QEMU)
class LibvirtTestCase(TestCase):
    """Domains are made when they are asked for, and gone when the test ends."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.libvirt = Libvirt.shared()

    def setUp(self):
        super().setUp()
        environment = unittest.mock.patch.dict(os.environ,
                                               {"LIBVIRT_DEFAULT_URI": self.libvirt.uri})
        environment.start()
        self.addCleanup(environment.stop)

    def domain(self, name=None, **options):
        """A new shut-off domain; returns its name."""
        self.libvirt.guests += 1
        name = name or f"guest{self.libvirt.guests}"
        self.libvirt.define(name, **options)
        self.addCleanup(self.libvirt.remove, name)
        return name

    def guest(self, name=None, **options):
        """A new running domain, that is configured too; returns its name."""
        name = self.domain(name, **options)
        self.libvirt.virsh("start", name)
        return name

    # --- shared guests ---

    def shared_guest(self, kind, **options):
        if kind not in self.libvirt.shared_guests:
            self.libvirt.shared_guests[kind] = self.libvirt.define(kind, **options)
            self.libvirt.virsh("start", kind)
        return kind

    def bystander(self):
        """A running domain that has no disks, and must have none when the test ends."""
        name = self.shared_guest("bystander")
        self.addCleanup(self.assert_equal_halves, name, {})
        return name

    def scsi_guest(self):
        """A running domain without disks, that has no port for a virtio disk. Scsi disks can be
        taken off without the guest's help, and are when the test ends."""
        name = self.shared_guest("scsi", ports=0)
        self.addCleanup(self.take_off_all, name)
        return name

    def take_off_all(self, name):
        for half in ("live", "config"):
            for target in self.sources(name, half):
                self.libvirt.virsh("detach-disk", name, target, f"--{half}")
        wait_until(lambda: self.halves(name) == ({}, {}), f"{name} without disks")

    def image(self, name=None, size=8 * MiB):
        """A new raw image."""
        return self.zero_image(size, name)

    # --- what libvirt has ---

    def halves(self, name):
        """What is attached: ({target: source}, {target: source}), running and configured."""
        active = self.libvirt.virsh("domstate", name).out.strip() in ("running", "paused")
        config = self.sources(name, "config")
        return (self.sources(name, "live") if active else None), config

    def sources(self, name, half):
        return {target: source_of(disk)
                for target, disk in self.libvirt.disks(name, half).items()}

    def assert_equal_halves(self, name, expected=None):
        live, config = self.halves(name)
        if live is not None:
            self.assertEqual(live, config)
        if expected is not None:
            self.assertEqual(config, {target: str(path) for target, path in expected.items()})

    def attach(self, name, source, *options):
        return self.imgtool("attach", "--domain", name, "--source", source, *options)

    def attach_ok(self, name, source, *options):
        return self.imgtool_ok("attach", "--domain", name, "--source", source, *options)

    def assert_not_attached(self, name, result, *words):
        """Exit 1, one line that has all of `words`, and the domain's halves as they were."""
        self.assertEqual(result.code, 1, f"\n{result!r}")
        lines = [line for line in result.err.splitlines() if not line.startswith("imgtool: note: ")]
        self.assertEqual(len(lines), 1, f"\n{result!r}")
        for word in words:
            self.assertIn(str(word), lines[0])


class CutConnection:
    """A way to libvirtd that breaks at a call: `when` is "before" it arrives or "after" it did,
    before its answer came back. With `meddle` it does not break; that is called instead, before the
    call arrives."""

    # Numbers of libvirt's remote protocol, which never change.
    CREATE = 9  # DOMAIN_CREATE
    ATTACH = 160  # DOMAIN_ATTACH_DEVICE_FLAGS
    DETACH = 161  # DOMAIN_DETACH_DEVICE_FLAGS

    def __init__(self, libvirt, when, procedure, meddle=None):
        self.libvirt, self.when, self.procedure, self.meddle = libvirt, when, procedure, meddle
        self.path = libvirt.folder / f"cut-{when}-{procedure}.sock"
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.uri = f"qemu+unix:///system?socket={self.path}"
        self.cut = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        client, _ = self.listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.libvirt.socket))
        back = threading.Thread(target=self.pump_back, args=(server, client), daemon=True)
        back.start()
        self.pump_calls(client, server)
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join(10)
        client.close()
        server.close()

    def pump_calls(self, client, server):
        """A message is its length, then program, version, procedure, type, serial, status."""
        buffer = b""
        while data := client.recv(65536):
            buffer += data
            while len(buffer) >= 4 and len(buffer) >= (size := int.from_bytes(buffer[:4], "big")):
                message, buffer = buffer[:size], buffer[size:]
                if int.from_bytes(message[12:16], "big") == self.procedure and \
                        int.from_bytes(message[4:8], "big") == 0x20008086:
                    if self.meddle:
                        self.meddle()
                        server.sendall(message)
                        continue
                    self.cut.set()
                    if self.when == "after":
                        server.sendall(message)
                        time.sleep(1)
                    return
                server.sendall(message)

    def pump_back(self, server, client):
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.cut.is_set():
                    continue
                client.sendall(data)

    def close(self):
        self.listener.close()
        self.thread.join(20)
