"""An sshd of the test's own on 127.0.0.1, which looks out from where libvirtd runs: another host, as
far as libvirt's remote driver can tell.

    ssh = Sshd(libvirt)
    imgtool domains -c ssh.uri()

It has its own port, configuration and keys, and knows only the test. The way to libvirtd is
libvirt's virt-ssh-helper and the usual socket: with socket= in the URI libvirt wants nc instead.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

from imgtool_testing import check, requires, wait_until
from nbd_testing import free_port, listens_on

CONFIG = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
"""


requires_ssh = requires("ssh", "sshd", "ssh-keygen", "virt-ssh-helper", "nsenter")


class Sshd:
    def __init__(self, libvirt):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="imgtool-sshd-"))
        self.port = free_port()
        for key in ("host_key", "client_key", "foreign_key"):
            check("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key)
        shutil.copy(self.folder / "client_key.pub", self.folder / "authorized_keys")
        config = self.folder / "config"
        config.write_text(CONFIG.format(port=self.port, folder=self.folder))
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where sshd keeps nothing
        self.log = open(self.folder / "log", "wb")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--mount=/proc/{libvirt.init_pid()}/ns/mnt",
             shutil.which("sshd"), "-D", "-e", "-f", config],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(lambda: listens_on(self.port), "sshd", timeout=30)

    def uri(self, key="client_key"):
        return (f"qemu+ssh://root@127.0.0.1:{self.port}/system?keyfile={self.folder / key}"
                "&no_verify=1&no_tty=1")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
