// The requests that io_uring carries out.
//
// Rings are mapped a second time, so that the entries which the program hands over can be looked at
// before the kernel takes them, and the completions before the program does. An entry that is to
// fail becomes one that does nothing, and its completion gets the error; a shorter transfer is
// asked for as such. The programs here send entries and take completions on one thread, and the
// kernel completes inside of io_uring_enter() what does nothing.
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "calls.h"

enum { most_rings = 8, most_slots = 64, most_waiting = 256 };

// An entry on its way whose completion is to be changed, or logged.
struct waiting {
  bool taken;
  uint64_t tag;
  bool harmless;
  int result;       // of a harmless one
  uint32_t number;  // in the log
  struct call call;
};

static struct ring {
  bool open;
  int fd;
  unsigned* sq_tail;
  unsigned* sq_mask;
  unsigned* sq_array;  // NULL: entries lie in order
  struct io_uring_sqe* entries;
  unsigned* cq_tail;
  unsigned* cq_mask;
  struct io_uring_cqe* completions;
  unsigned sent;      // entries that were looked at
  unsigned finished;  // completions that were looked at
  int slots[most_slots];
  struct waiting waiting[most_waiting];
} rings[most_rings];

static struct ring* ring_of(int fd) {
  for (int i = 0; i < most_rings; ++i) {
    if (rings[i].open && rings[i].fd == fd) return &rings[i];
  }
  return NULL;
}

static void* map(int fd, uint64_t offset, size_t length) {
  return (void*)kernel(SYS_mmap, 0, (long)length, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                       (long)offset);
}

void ring_made(int fd, const void* params) {
  const struct io_uring_params* made = params;
  struct ring* ring = NULL;
  for (int i = 0; i < most_rings && ring == NULL; ++i) {
    if (!rings[i].open) ring = &rings[i];
  }
  if (ring == NULL) __builtin_trap();
  memset(ring, 0, sizeof *ring);
  const size_t sq_bytes = made->sq_off.array + made->sq_entries * sizeof(unsigned);
  const size_t cq_bytes = made->cq_off.cqes + made->cq_entries * sizeof(struct io_uring_cqe);
  char* sq = map(fd, IORING_OFF_SQ_RING, sq_bytes > cq_bytes ? sq_bytes : cq_bytes);
  ring->entries = map(fd, IORING_OFF_SQES, made->sq_entries * sizeof(struct io_uring_sqe));
  const bool one = (made->features & IORING_FEAT_SINGLE_MMAP) != 0;
  char* cq = one ? sq : map(fd, IORING_OFF_CQ_RING, cq_bytes);
  ring->sq_tail = (unsigned*)(sq + made->sq_off.tail);
  ring->sq_mask = (unsigned*)(sq + made->sq_off.ring_mask);
  ring->sq_array = made->sq_off.array == 0 ? NULL : (unsigned*)(sq + made->sq_off.array);
  ring->cq_tail = (unsigned*)(cq + made->cq_off.tail);
  ring->cq_mask = (unsigned*)(cq + made->cq_off.ring_mask);
  ring->completions = (struct io_uring_cqe*)(cq + made->cq_off.cqes);
  for (int i = 0; i < most_slots; ++i) ring->slots[i] = -1;
  ring->fd = fd;
  ring->open = true;
}

void ring_closed(int fd) {
  struct ring* ring = ring_of(fd);
  if (ring != NULL) ring->open = false;  // the mappings end with the program
}

void ring_registered(int fd, unsigned opcode, const void* argument) {
  struct ring* ring = ring_of(fd);
  if (ring == NULL || opcode != IORING_REGISTER_FILES_UPDATE) return;
  const struct io_uring_files_update* update = argument;
  const int* files = (const int*)(uintptr_t)update->fds;
  if (update->offset < most_slots) ring->slots[update->offset] = files[0];
}

// False: an entry that is about no file.
static bool read_entry(const struct ring* ring, const struct io_uring_sqe* entry,
                       struct call* call) {
  memset(call, 0, sizeof *call);
  call->offset = entry->off;
  call->length = entry->len;
  call->data = (const void*)(uintptr_t)entry->addr;
  switch (entry->opcode) {
    case IORING_OP_READ:
    case IORING_OP_READ_FIXED:
      call->kind = kind_pread;
      break;
    case IORING_OP_WRITE:
    case IORING_OP_WRITE_FIXED:
      call->kind = kind_pwrite;
      break;
    case IORING_OP_FSYNC:
      call->kind = kind_flush;
      break;
    case IORING_OP_FALLOCATE:
      call->kind = kind_allocate;
      call->flags = (int)entry->len;
      call->length = entry->addr;
      call->data = NULL;
      break;
    default:
      return false;
  }
  const bool slot = (entry->flags & IOSQE_FIXED_FILE) != 0;
  call->fd = slot && entry->fd < most_slots ? ring->slots[entry->fd] : entry->fd;
  call->about = about_of_fd(call->fd);
  return true;
}

static void make_harmless(struct io_uring_sqe* entry) {
  const uint64_t tag = entry->user_data;
  memset(entry, 0, sizeof *entry);
  entry->opcode = IORING_OP_NOP;
  entry->fd = -1;
  entry->user_data = tag;
}

static struct waiting* place_for(struct ring* ring, uint64_t tag) {
  for (int i = 0; i < most_waiting; ++i) {
    struct waiting* waiting = &ring->waiting[i];
    if (waiting->taken) continue;
    memset(waiting, 0, sizeof *waiting);
    waiting->taken = true;
    waiting->tag = tag;
    return waiting;
  }
  __builtin_trap();
}

static void look_at_entry(struct ring* ring, struct io_uring_sqe* entry) {
  struct call call;
  if (!read_entry(ring, entry, &call)) return;
  const uint32_t number = record_begin(&call);
  const struct fault fault = fault_for(&call);
  if (fault.kind == fault_short) entry->len = (unsigned)fault.length;
  const bool harmless = fault.kind == fault_errno || fault.kind == fault_lost;
  if (!harmless && number == 0) return;
  struct waiting* waiting = place_for(ring, entry->user_data);
  waiting->harmless = harmless;
  waiting->result = fault.kind == fault_errno ? -fault.error : (int)fault.length;
  waiting->number = number;
  waiting->call = call;
  if (harmless) make_harmless(entry);
}

static void look_at_completion(struct ring* ring, struct io_uring_cqe* completion) {
  for (int i = 0; i < most_waiting; ++i) {
    struct waiting* waiting = &ring->waiting[i];
    if (!waiting->taken || waiting->tag != completion->user_data) continue;
    waiting->taken = false;
    if (waiting->harmless) completion->res = waiting->result;
    record_end(waiting->number, &waiting->call, completion->res);
    return;
  }
}

static void look_at_completions(struct ring* ring) {
  const unsigned tail = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
  for (; ring->finished != tail; ++ring->finished) {
    look_at_completion(ring, &ring->completions[ring->finished & *ring->cq_mask]);
  }
}

long ring_enter(int fd, unsigned count, const long* a) {
  struct ring* ring = ring_of(fd);
  if (ring == NULL) __builtin_trap();
  (void)count;  // the tail says it as well, and entries that the kernel did not take come again
  look_at_completions(ring);
  const unsigned tail = __atomic_load_n(ring->sq_tail, __ATOMIC_ACQUIRE);
  for (; ring->sent != tail; ++ring->sent) {
    const unsigned place = ring->sent & *ring->sq_mask;
    look_at_entry(ring, &ring->entries[ring->sq_array == NULL ? place : ring->sq_array[place]]);
  }
  const long result = kernel(SYS_io_uring_enter, a[0], a[1], a[2], a[3], a[4], a[5]);
  look_at_completions(ring);
  return result;
}
