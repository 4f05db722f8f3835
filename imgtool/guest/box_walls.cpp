// The last walls of a box: which files, and which system calls. See box_inside.hpp.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

#include "imgtool/guest/box_inside.hpp"
#include "io/error.hpp"
#include "io/file.hpp"

namespace imgtool::guest {
namespace {

[[noreturn]] void fail(std::string_view what) { throw io::Error::system(what, "the box", errno); }

// --- Landlock, as <linux/landlock.h> has it; Linux 5.13 ---

#ifdef LANDLOCK_CREATE_RULESET_VERSION

constexpr std::uint64_t to_read =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t to_write = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
// Numbers that newer kernels have: REFER (second version), TRUNCATE (third).
constexpr std::uint64_t refer = std::uint64_t{1} << 13, truncate = std::uint64_t{1} << 14;
constexpr std::uint64_t first_version = refer - 1;

std::uint64_t rights_of(long version) {
  return first_version | (version >= 2 ? refer : 0) | (version >= 3 ? truncate : 0);
}

void allow(const io::FileDescriptor& rules, const std::string& path, std::uint64_t rights) {
  const io::FileDescriptor place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights;
  rule.parent_fd = place.get();
  const bool done = place && ::syscall(SYS_landlock_add_rule, rules.get(),
                                       LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
  if (!done) fail("rules for files");
}

#endif

// --- system calls ---

// Those of e2fsprogs, ntfs-3g's tools, timeout and sh (seen in use), and what the C library takes
// in their place. All else is answered as by a kernel that is too old to know it.
constexpr auto allowed_calls = std::to_array<unsigned>({
#ifdef __x86_64__  // those that newer architectures never had
    SYS_access,
    SYS_arch_prctl,
    SYS_dup2,
    SYS_pipe,
    SYS_readlink,
    SYS_getpgrp,
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_fork,
    SYS_vfork,
    SYS_alarm,
    SYS_time,
    SYS_getrlimit,
    SYS_poll,
    SYS_select,
#endif
    SYS_brk,
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_clone,
    SYS_close,
    SYS_dup,
    SYS_dup3,
    SYS_execve,
    SYS_exit,
    SYS_exit_group,
    SYS_faccessat,
    SYS_fadvise64,
    SYS_fallocate,
    SYS_fcntl,
    SYS_fdatasync,
    SYS_fstat,
    SYS_fstatfs,
    SYS_fsync,
    SYS_ftruncate,
    SYS_futex,
    SYS_getcwd,
    SYS_getdents64,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getpgid,
    SYS_getpid,
    SYS_getppid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_getuid,
    SYS_ioctl,
    SYS_kill,
    SYS_lseek,
    SYS_madvise,
    SYS_mmap,
    SYS_mprotect,
    SYS_mremap,
    SYS_munmap,
    SYS_nanosleep,
    SYS_newfstatat,
    SYS_openat,
    SYS_pipe2,
    SYS_ppoll,
    SYS_prctl,
    SYS_pread64,
    SYS_prlimit64,
    SYS_pselect6,
    SYS_pwrite64,
    SYS_read,
    SYS_readlinkat,
    SYS_readv,
    SYS_rt_sigaction,
    SYS_rt_sigpending,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigsuspend,
    SYS_rt_sigtimedwait,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_set_tid_address,
    SYS_setitimer,
    SYS_setpgid,
    SYS_sigaltstack,
    SYS_sync_file_range,
    SYS_sysinfo,
    SYS_tgkill,
    SYS_timer_create,
    SYS_timer_delete,
    SYS_timer_settime,
    SYS_times,
    SYS_umask,
    SYS_uname,
    SYS_wait4,
    SYS_waitid,
    SYS_write,
    SYS_writev,
#ifdef SYS_faccessat2
    SYS_faccessat2,
#endif
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SYS_statx
    SYS_statx,
#endif
});

#if defined(__x86_64__)
constexpr unsigned architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned architecture = AUDIT_ARCH_AARCH64;
#elif defined(__riscv)
constexpr unsigned architecture = AUDIT_ARCH_RISCV64;
#else
constexpr unsigned architecture = 0;  // no box: every call ends the process
#endif

constexpr std::uint32_t new_namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr std::uint32_t unknown_call = SECCOMP_RET_ERRNO | ENOSYS;

sock_filter statement(unsigned code, std::uint32_t value) {
  return {static_cast<std::uint16_t>(code), 0, 0, value};
}
// Skips so many statements when it is, or is not, so.
sock_filter branch(unsigned code, std::uint32_t value, unsigned char is, unsigned char is_not) {
  return {static_cast<std::uint16_t>(code), is, is_not, value};
}

std::vector<sock_filter> call_filter() {
  constexpr unsigned load = BPF_LD | BPF_W | BPF_ABS, equal = BPF_JMP | BPF_JEQ | BPF_K;
  constexpr unsigned any_bit = BPF_JMP | BPF_JSET | BPF_K, answer = BPF_RET | BPF_K;
  constexpr std::uint32_t flags_of_clone = offsetof(seccomp_data, args);  // its low half
  std::vector<sock_filter> filter = {
      statement(load, offsetof(seccomp_data, arch)),
      branch(equal, architecture, 1, 0),
      statement(answer, SECCOMP_RET_KILL),
      statement(load, offsetof(seccomp_data, nr)),
      branch(equal, SYS_clone, 0, 4),
      statement(load, flags_of_clone),
      branch(any_bit, new_namespaces, 0, 1),
      statement(answer, unknown_call),
      statement(load, offsetof(seccomp_data, nr)),
  };
  for (const unsigned call : allowed_calls) {
    filter.push_back(branch(equal, call, 0, 1));
    filter.push_back(statement(answer, SECCOMP_RET_ALLOW));
  }
  filter.push_back(statement(answer, unknown_call));
  return filter;
}

}  // namespace

void restrict_files(const std::vector<std::string>& writable) {
#ifdef LANDLOCK_CREATE_RULESET_VERSION
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return;  // the kernel has none: the mounts stand alone
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = rights_of(version);
  const io::FileDescriptor rules(static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0)));
  if (!rules) fail("rules for files");
  allow(rules, "/", to_read);
  for (const std::string& path : writable) {
    allow(rules, path, to_write | (version >= 3 ? truncate : 0));
  }
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0) fail("rules for files");
#else
  (void)writable;
#endif
}

void restrict_calls() {
  std::vector<sock_filter> filter = call_filter();
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0) fail("a filter of calls");
}

}  // namespace imgtool::guest
