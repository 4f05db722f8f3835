"""File systems that FUSE mounts: NTFS by ntfs-3g, exFAT by exfat-fuse. Their drivers are followed
to their end, so that all is in the image when mounted() has ended. Needs root and /dev/fuse."""
import contextlib
import os
import subprocess

from imgtool_testing import check, unmount, wait_until
from scrub_testing import ScrubTestCase


class FuseTestCase(ScrubTestCase):
    sector_size = 512  # of the loop device; the file system's own may be larger

    def driver(self, device, directory, options):
        """The command that stays in the foreground while it is mounted."""
        raise NotImplementedError

    @contextlib.contextmanager
    def mounted(self, image, *options):
        directory = self.path()
        directory.mkdir()
        device = check("losetup", "--find", "--show", "--sector-size", self.sector_size, image)
        try:
            process = self.start(self.driver(device, directory, options),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            wait_until(lambda: os.path.ismount(directory) or process.poll() is not None, "mount")
            self.assertIsNone(process.poll(), f"{image} was not mounted")
            try:
                yield directory
            finally:
                unmount(directory)
                process.wait(60)
        finally:
            check("losetup", "--detach", device)


class NtfsTestCase(FuseTestCase):
    def driver(self, device, directory, options):
        return ["ntfs-3g", "-o", ",".join(["no_detach", *options]), device, directory]


class ExfatTestCase(FuseTestCase):
    def driver(self, device, directory, options):
        words = ["-o", ",".join(options)] if options else []
        return ["mount.exfat-fuse", "-d", *words, device, directory]
