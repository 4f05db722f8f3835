"""A kernel as old as 3.10 (CentOS 7), played by strace: every system call that came later fails
with ENOSYS, and so does fallocate, which block devices did not have before 4.9."""
from imgtool_testing import MiB, TestCase, main, requires, requires_root, sha256

# On x86_64 these are the calls numbered from 314 on; 3.10 ends with finit_module (313).
NEWER_THAN_3_10 = """
sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create kexec_file_load bpf execveat
userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free
statx io_pgetevents rseq pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree
move_mount fsopen fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd
faccessat2 process_madvise epoll_pwait2 mount_setattr landlock_create_ruleset futex_waitv cachestat
""".split()


@requires("strace")
class OldKernel(TestCase):
    def on_old_kernel(self, *args):
        calls = ",".join("?" + name for name in NEWER_THAN_3_10)
        result = self.traced_imgtool([f"inject={calls}:error=ENOSYS",
                                      "inject=fallocate:error=EOPNOTSUPP"], *args)
        self.assertEqual(result.code, 0, f"\n{result!r}")
        return result

    def there_and_back(self, target):
        image = self.half_sparse_image(12 * MiB + 512)
        self.on_old_kernel("burn", image, target, "--yes", "--discard=never")
        self.assertEqual(sha256(target, 12 * MiB + 512), sha256(image))
        captured = self.path()
        self.on_old_kernel("capture", target, captured, "--length", 12 * MiB + 512)
        self.assertEqual(sha256(captured), sha256(image))

    def test_burns_and_captures_a_file(self):
        self.there_and_back(self.path())

    @requires_root
    def test_burns_and_captures_a_disk(self):
        self.there_and_back(self.loop_device(13 * MiB))

    def test_lists_devices(self):
        self.on_old_kernel("devices", "--all", "--json")


if __name__ == "__main__":
    main()
