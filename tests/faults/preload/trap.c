// Takes the calls from the kernel's door, and carries them out; see calls.h.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "calls.h"

#ifndef __x86_64__
#error "knows the registers of x86-64 only"
#endif

// The one instruction that the filter lets through.
__asm__(
    ".text\n"
    ".globl kernel\n.hidden kernel\n.type kernel, @function\n"
    "kernel:\n"
    "  mov %rdi, %rax\n  mov %rsi, %rdi\n  mov %rdx, %rsi\n  mov %rcx, %rdx\n"
    "  mov %r8, %r10\n  mov %r9, %r8\n  mov 8(%rsp), %r9\n"
    "  syscall\n"
    ".globl behind_kernel\n.hidden behind_kernel\n"
    "behind_kernel:\n"
    "  ret\n");
extern const char behind_kernel[] __attribute__((visibility("hidden")));

// How a call's arguments are to be read.
enum form {
  form_path,     // path, flags
  form_at,       // directory, path, flags
  form_two,      // path, path
  form_at_two,   // directory, path, directory, path, flags
  form_fd,       // fd
  form_count,    // fd, data, length
  form_place,    // fd, data, length, offset
  form_pieces,   // fd, vector, count, offset
  form_stream,   // fd, vector, count
  form_range,    // fd, mode, offset, length
  form_length,   // fd, length
  form_command,  // fd, command
};

static const struct known {
  short number;
  enum kind kind : 8;
  enum form form : 8;
} known_calls[] = {
    {SYS_open, kind_open, form_path},
    {SYS_openat, kind_open, form_at},
    {SYS_read, kind_read, form_count},
    {SYS_readv, kind_read, form_stream},
    {SYS_pread64, kind_pread, form_place},
    {SYS_preadv, kind_pread, form_pieces},
    {SYS_write, kind_write, form_count},
    {SYS_writev, kind_write, form_stream},
    {SYS_pwrite64, kind_pwrite, form_place},
    {SYS_pwritev, kind_pwrite, form_pieces},
    {SYS_fallocate, kind_allocate, form_range},
    {SYS_ftruncate, kind_truncate, form_length},
    {SYS_fsync, kind_flush, form_fd},
    {SYS_fdatasync, kind_flush, form_fd},
    {SYS_close, kind_close, form_fd},
    {SYS_rename, kind_rename, form_two},
    {SYS_renameat, kind_rename, form_at_two},
    {SYS_renameat2, kind_rename, form_at_two},
    {SYS_link, kind_link, form_two},
    {SYS_linkat, kind_link, form_at_two},
    {SYS_unlink, kind_unlink, form_path},
    {SYS_unlinkat, kind_unlink, form_at},
    {SYS_flock, kind_lock, form_fd},
    {SYS_fcntl, kind_fcntl, form_command},
    {SYS_ioctl, kind_ioctl, form_command},
    {SYS_lseek, kind_seek, form_fd},
    {SYS_stat, kind_stat, form_path},
    {SYS_lstat, kind_stat, form_path},
    {SYS_fstat, kind_stat, form_fd},
    {SYS_newfstatat, kind_stat, form_at},
    {SYS_statx, kind_stat, form_at},
    {SYS_statfs, kind_stat, form_path},
    {SYS_fstatfs, kind_stat, form_fd},
    {SYS_access, kind_stat, form_path},
    {SYS_faccessat, kind_stat, form_at},
    {SYS_faccessat2, kind_stat, form_at},
    {SYS_readlink, kind_stat, form_path},
    {SYS_readlinkat, kind_stat, form_at},
    {SYS_fchmod, kind_mode, form_fd},
    {SYS_fchown, kind_mode, form_fd},
};
static const size_t known_count = sizeof known_calls / sizeof known_calls[0];

// --- what a call is about ---

enum { most_fds = 4096 };
static unsigned char is_job_fd[most_fds];
static char job_paths[4096];

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static enum about about_of_path(const char* path) {
  static const char again[] = "/proc/self/fd/";
  if (strncmp(path, again, sizeof again - 1) == 0 && is_digit(path[sizeof again - 1])) {
    int fd = 0;
    for (const char* at = path + sizeof again - 1; is_digit(*at); ++at) fd = fd * 10 + (*at - '0');
    return about_of_fd(fd);
  }
  for (const char* at = job_paths; *at != '\0';) {
    const char* end = strchrnul(at, ':');
    if (strncmp(path, at, (size_t)(end - at)) == 0) return about_job;
    at = *end == ':' ? end + 1 : end;
  }
  return about_system;
}

enum about about_of_fd(int fd) {
  return fd >= 0 && fd < most_fds && is_job_fd[fd] ? about_job : about_system;
}

static void note_fd(int fd, enum about about) {
  if (fd >= 0 && fd < most_fds) is_job_fd[fd] = about == about_job;
}

// --- the call ---

static uint64_t length_of(const struct iovec* pieces, unsigned count) {
  uint64_t length = 0;
  for (unsigned i = 0; i < count; ++i) length += pieces[i].iov_len;
  return length;
}

static void read_place(struct call* call, enum form form, const long* a) {
  call->offset = form == form_place || form == form_pieces ? (uint64_t)a[3] : no_offset;
  if (form == form_pieces || form == form_stream) {
    call->pieces = (const struct iovec*)a[1];
    call->piece_count = (unsigned)a[2];
    call->length = length_of(call->pieces, call->piece_count);
  } else {
    call->data = (const void*)a[1];
    call->length = (uint64_t)a[2];
  }
}

static void read_path(struct call* call, enum form form, const long* a) {
  const bool at = form == form_at || form == form_at_two;
  call->fd = -1;
  call->path = (const char*)(at ? a[1] : a[0]);
  if (form == form_at_two) call->second_path = (const char*)a[3];
  if (form == form_two) call->second_path = (const char*)a[1];
  call->flags = (int)(form == form_at ? a[2] : form == form_path ? a[1] : 0);
  // fstat(3) asks for the empty name in a file.
  if (at && call->path != NULL && call->path[0] == '\0') call->fd = (int)a[0];
}

static struct call read_call(const struct known* known, const long* a) {
  struct call call = {.kind = known->kind, .fd = (int)a[0]};
  switch (known->form) {
    case form_path:
    case form_at:
    case form_two:
    case form_at_two:
      read_path(&call, known->form, a);
      break;
    case form_count:
    case form_place:
    case form_pieces:
    case form_stream:
      read_place(&call, known->form, a);
      break;
    case form_range:
      call.flags = (int)a[1];
      call.offset = (uint64_t)a[2];
      call.length = (uint64_t)a[3];
      break;
    case form_length:
      call.length = (uint64_t)a[1];
      break;
    case form_fd:
    case form_command:
      call.flags = (int)a[1];
      break;
  }
  call.about = call.fd < 0 && call.path != NULL ? about_of_path(call.path) : about_of_fd(call.fd);
  return call;
}

static long ask_kernel(long number, const long* a) {
  return kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

// A shorter vector: only the first piece, or a part of it, which is as good as any other.
static long transfer_less(long number, const struct call* call, const long* a, uint64_t length) {
  long changed[6];
  memcpy(changed, a, sizeof changed);
  struct iovec first;
  if (call->pieces != NULL) {
    first = call->pieces[0];
    if (length < first.iov_len) first.iov_len = length;
    changed[1] = (long)&first;
    changed[2] = 1;
  } else {
    changed[2] = (long)length;
  }
  return ask_kernel(number, changed);
}

static long answer(long number, const struct call* call, const long* a) {
  const struct fault fault = fault_for(call);
  if (fault.kind == fault_short) return transfer_less(number, call, a, fault.length);
  if (fault.kind == fault_none) return ask_kernel(number, a);
  if (fault.kind == fault_lost) return (long)fault.length;
  // A file is closed whatever close() says.
  if (call->kind == kind_close) ask_kernel(number, a);
  return -fault.error;
}

static void follow_fds(const struct call* call, long result) {
  if (call->kind == kind_open && result >= 0) note_fd((int)result, call->about);
  const bool duplicates = call->flags == F_DUPFD || call->flags == F_DUPFD_CLOEXEC;
  if (call->kind == kind_fcntl && duplicates && result >= 0) note_fd((int)result, call->about);
  if (call->kind != kind_close) return;
  note_fd(call->fd, about_system);
  forget_file(call->fd);
  ring_closed(call->fd);
}

static long carry_out_known(const struct known* known, const long* a) {
  const struct call call = read_call(known, a);
  const uint32_t number = record_begin(&call);
  const long result = answer(known->number, &call, a);
  record_end(number, &call, result);
  follow_fds(&call, result);
  return result;
}

static long carry_out(long number, const long* a) {
  if (number == SYS_io_uring_enter) return ring_enter((int)a[0], (unsigned)a[1], a);
  for (size_t i = 0; i < known_count; ++i) {
    if (known_calls[i].number == number) return carry_out_known(&known_calls[i], a);
  }
  const long result = ask_kernel(number, a);
  if (number == SYS_io_uring_setup && result >= 0) ring_made((int)result, (const void*)a[1]);
  if (number == SYS_io_uring_register && result >= 0) {
    ring_registered((int)a[0], (unsigned)a[1], (const void*)a[2]);
  }
  return result;
}

static void on_trap(int signal, siginfo_t* info, void* context) {
  (void)signal;
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  const long arguments[6] = {registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                             registers[REG_R10], registers[REG_R8],  registers[REG_R9]};
  registers[REG_RAX] = carry_out(info->si_syscall, arguments);
}

// --- the filter ---

static struct sock_filter load(size_t offset) {
  return (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset);
}

static struct sock_filter skip_unless(unsigned value, unsigned char skipped) {
  return (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped);
}

static struct sock_filter give(unsigned value) {
  return (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value);
}

static void install_filter(void) {
  static struct sock_filter lines[128];
  unsigned short count = 0;
  const uint64_t behind = (uint64_t)(uintptr_t)behind_kernel;
  const size_t place = offsetof(struct seccomp_data, instruction_pointer);
  lines[count++] = load(place);
  lines[count++] = skip_unless((unsigned)behind, 3);
  lines[count++] = load(place + 4);
  lines[count++] = skip_unless((unsigned)(behind >> 32), 1);
  lines[count++] = give(SECCOMP_RET_ALLOW);
  lines[count++] = load(offsetof(struct seccomp_data, nr));
  static const short rings[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register};
  for (size_t i = 0; i < known_count + 3; ++i) {
    const short number = i < 3 ? rings[i] : known_calls[i - 3].number;
    lines[count++] = skip_unless((unsigned)number, 1);
    lines[count++] = give(SECCOMP_RET_TRAP);
  }
  lines[count++] = give(SECCOMP_RET_ALLOW);
  const struct sock_fprog program = {count, lines};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("faults: seccomp");
    _exit(99);
  }
}

__attribute__((constructor)) static void start(void) {
  const char* files = getenv("FAULTS_FILES");
  if (files == NULL) return;  // not the program under test, but one that starts it
  if (strlen(files) >= sizeof job_paths) _exit(99);
  strcpy(job_paths, files);
  start_injecting();
  start_recording();
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGSYS, &action, NULL);
  install_filter();
}
