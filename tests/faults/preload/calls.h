// The system calls of a program under test, on their way to the kernel.
//
// Loaded with LD_PRELOAD into imgtool as it is shipped. Symbols alone would not do: liburing enters
// the kernel by instructions of its own, as do parts of the C library. So a seccomp filter sends
// the calls that matter here by SIGSYS (trap.c), where they are counted and may fail (inject.c),
// are written to a log (record.c), and go on to the kernel. What io_uring carries out goes the same
// way, entry by entry (ring.c). Counters and the log are shared by all threads.
//
// Calls are told apart by their kind and by what they are about: the files of the job, below the
// paths in $FAULTS_FILES (separated by colons), or anything else of the system, such as /sys.
//
// Nothing here may call the C library once the filter is installed, but for memcpy and the like.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <sys/uio.h>

enum kind {
  kind_open,
  kind_read,
  kind_pread,
  kind_write,
  kind_pwrite,
  kind_allocate,
  kind_truncate,
  kind_flush,
  kind_close,
  kind_rename,
  kind_link,
  kind_unlink,
  kind_lock,  // flock
  kind_fcntl,
  kind_ioctl,
  kind_seek,
  kind_stat,  // and access, readlink
  kind_mode,  // chmod, chown
  kind_count
};

enum about { about_job, about_system, about_count };

// --- trap.c ---

// One call or one entry of a ring. `file` is what it is about, -1 where that is a path alone.
struct call {
  enum kind kind;
  enum about about;
  int fd;
  const char* path;
  const char* second_path;  // of rename and link
  int flags;                // of open; the mode of fallocate; AT_ flags
  uint64_t offset;
  uint64_t length;
  const void* data;  // of one write
  const struct iovec* pieces;
  unsigned piece_count;
};

#define no_offset UINT64_MAX  // where the file stands

long kernel(long number, long a, long b, long c, long d, long e, long f);

enum about about_of_fd(int fd);

// --- inject.c ---

enum fault_kind { fault_none, fault_errno, fault_short, fault_lost };

struct fault {
  enum fault_kind kind;
  int error;        // of fault_errno
  uint64_t length;  // of fault_short: what is left of the transfer; of fault_lost: what is told
};

void start_injecting(void);
// Counts the call, and says what is to become of it.
struct fault fault_for(const struct call* call);

// --- record.c ---

void start_recording(void);
bool is_recording(void);
// Before the kernel is asked: gives the call's number in the log, 0 where there is none to keep.
uint32_t record_begin(const struct call* call);
// After it answered. A file that was opened is told apart from others by its inode.
void record_end(uint32_t number, const struct call* call, int64_t result);
void forget_file(int fd);

// --- ring.c ---

void ring_made(int fd, const void* params);
void ring_registered(int fd, unsigned opcode, const void* argument);
void ring_closed(int fd);
long ring_enter(int fd, unsigned count, const long* arguments);
