// Writes down what a program does to its files, in order, into the file that $FAULTS_RECORD names.
//
// Each call has a line when it begins and one when it ends: what a flush covers is what ended
// before it began. A line is a struct entry, then `extra` bytes: the data of a write, or the paths,
// each with its final zero. Files are told apart by device and inode.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/syscall.h>

#include "calls.h"

struct entry {
  uint32_t number;  // of the call; the same at its end
  uint32_t kind;    // + ended, at its end
  uint64_t file;
  uint64_t offset;
  uint64_t length;
  int64_t result;
  uint32_t flags;
  uint32_t extra;
};
enum { ended = 256, most_fds = 4096 };
_Static_assert(sizeof(struct entry) == 48, "as power_loss.py reads it");

static int log_fd = -1;
static uint64_t files[most_fds];
static uint32_t last_number;
static int lock;

void start_recording(void) {
  const char* path = getenv("FAULTS_RECORD");
  if (path == NULL) return;
  log_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) _exit(99);
}

bool is_recording(void) { return log_fd >= 0; }

static uint64_t file_of(int fd) {
  if (fd < 0 || fd >= most_fds) return 0;
  if (files[fd] != 0) return files[fd];
  struct stat found;
  if (kernel(SYS_fstat, fd, (long)&found, 0, 0, 0, 0) != 0) return 0;
  const bool disk = S_ISBLK(found.st_mode);
  files[fd] = disk ? (1ULL << 63) | found.st_rdev : (found.st_dev << 32) ^ found.st_ino;
  return files[fd];
}

void forget_file(int fd) {
  if (fd >= 0 && fd < most_fds) files[fd] = 0;
}

static void put(const struct entry* entry, const struct iovec* extra, unsigned count) {
  struct iovec all[17] = {{(void*)entry, sizeof *entry}};
  if (count > 16) __builtin_trap();
  if (count > 0) memcpy(all + 1, extra, count * sizeof *extra);
  while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE)) {
  }
  const long put = kernel(SYS_writev, log_fd, (long)all, count + 1, 0, 0, 0);
  __atomic_clear(&lock, __ATOMIC_RELEASE);
  if (put != (long)(sizeof *entry + entry->extra)) __builtin_trap();  // a log with a gap is none
}

static bool changes_something(const struct call* call) {
  switch (call->kind) {
    case kind_write:
    case kind_pwrite:
    case kind_allocate:
    case kind_truncate:
    case kind_flush:
    case kind_rename:
    case kind_link:
    case kind_unlink:
    case kind_open:
      return true;
    default:
      return false;
  }
}

static unsigned text_of(const char* text, struct iovec* piece) {
  if (text == NULL) return 0;
  *piece = (struct iovec){(void*)text, strlen(text) + 1};
  return 1;
}

uint32_t record_begin(const struct call* call) {
  if (log_fd < 0 || call->about != about_job || !changes_something(call)) return 0;
  struct entry entry = {.kind = call->kind,
                        .offset = call->offset,
                        .length = call->length,
                        .flags = (uint32_t)call->flags};
  entry.number = __atomic_add_fetch(&last_number, 1, __ATOMIC_RELAXED);
  if (call->fd >= 0) entry.file = file_of(call->fd);
  struct iovec extra[16];
  unsigned count = 0;
  if (call->kind == kind_write || call->kind == kind_pwrite) {
    if (call->offset == no_offset) {
      entry.offset = (uint64_t)kernel(SYS_lseek, call->fd, 0, SEEK_CUR, 0, 0, 0);
    }
    if (call->pieces == NULL) {
      extra[count++] = (struct iovec){(void*)call->data, call->length};
    } else {
      if (call->piece_count > 16) __builtin_trap();
      memcpy(extra, call->pieces, call->piece_count * sizeof *extra);
      count = call->piece_count;
    }
  } else {
    count += text_of(call->path, extra);
    count += text_of(call->second_path, extra + count);
  }
  for (unsigned i = 0; i < count; ++i) entry.extra += (uint32_t)extra[i].iov_len;
  put(&entry, extra, count);
  return entry.number;
}

void record_end(uint32_t number, const struct call* call, int64_t result) {
  if (number == 0) return;
  struct entry entry = {.number = number, .kind = call->kind + ended, .result = result};
  if (call->kind == kind_open && result >= 0) entry.file = file_of((int)result);
  put(&entry, NULL, 0);
}
