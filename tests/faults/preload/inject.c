// Counts calls, and lets one of them fail.
//
// $FAULTS_REPORT names a file of one page, mapped: what was counted, and what was done. The n-th
// call of a kind is asked for by $FAULTS_PLAN: "KIND ABOUT N FAULT STICKY", all of them numbers.
// FAULT is an errno, or -1: a transfer of half the bytes in whole sectors, -2: of an odd number of
// bytes, -3: of none, -4: nothing is done, and success is told. STICKY 1: all later calls of the
// kind fail, too. A second plan may follow behind a comma; the report is about the first one.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/syscall.h>

#include "calls.h"

enum {
  sector = 512,
  fault_half = -1,
  fault_odd = -2,
  fault_nothing = -3,
  fault_lie = -4,
  plan_count = 2
};

struct report {
  uint32_t counts[kind_count][about_count];
  uint32_t done;    // how many faults there were
  uint32_t number;  // of the first one's call, among all
  uint64_t offset;  // where it was to be
  uint64_t length;
  char path[256];  // for people
};
_Static_assert(sizeof(struct report) <= 4096, "fits into a page");

static struct report nowhere;
static struct report* report = &nowhere;
static struct plan {
  bool wanted;
  enum kind kind;
  enum about about;
  uint32_t number;
  int fault;
  bool sticky;
} plans[plan_count];

static void read_plan(const char* text, struct plan* plan) {
  unsigned kind = 0, about = 0, sticky = 0;
  const int count =
      sscanf(text, "%u %u %u %d %u", &kind, &about, &plan->number, &plan->fault, &sticky);
  if (count != 5) _exit(99);
  plan->kind = (enum kind)kind;
  plan->about = (enum about)about;
  plan->sticky = sticky != 0;
  plan->wanted = true;
}

void start_injecting(void) {
  const char* path = getenv("FAULTS_REPORT");
  const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    report = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (report == MAP_FAILED) _exit(99);
  }
  const char* text = getenv("FAULTS_PLAN");
  if (text == NULL) return;
  read_plan(text, &plans[0]);
  const char* second = strchr(text, ',');
  if (second != NULL) read_plan(second + 1, &plans[1]);
}

static bool is_transfer(enum kind kind) {
  return kind == kind_read || kind == kind_pread || kind == kind_write || kind == kind_pwrite;
}

static bool is_direct(int fd) {
  const long flags = kernel(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);
  return flags >= 0 && (flags & O_DIRECT) != 0;
}

// fault_none where the kernel would not do such a thing.
static struct fault shorter(const struct call* call, int wanted) {
  struct fault fault = {.kind = fault_short};
  if (!is_transfer(call->kind) || call->length < 2) return (struct fault){.kind = fault_none};
  if (wanted == fault_nothing) return fault;
  const bool whole_sectors = wanted == fault_half && call->length >= 2 * sector;
  if (whole_sectors) {
    fault.length = call->length / 2 / sector * sector;
  } else if (is_direct(call->fd)) {
    fault.kind = fault_none;
  } else {
    fault.length = wanted == fault_half ? call->length / 2 : (call->length / 2) | 1U;
  }
  return fault;
}

static void tell(const struct call* call, uint32_t number) {
  if (__atomic_fetch_add(&report->done, 1, __ATOMIC_RELAXED) != 0) return;
  report->number = number;
  report->offset = call->offset;
  report->length = call->length;
  if (call->path != NULL && call->fd < 0) {
    strncpy(report->path, call->path, sizeof report->path - 1);
    return;
  }
  char link[32] = "/proc/self/fd/";
  char* end = link + strlen(link);
  if (call->fd >= 1000) *end++ = (char)('0' + call->fd / 1000 % 10);
  if (call->fd >= 100) *end++ = (char)('0' + call->fd / 100 % 10);
  if (call->fd >= 10) *end++ = (char)('0' + call->fd / 10 % 10);
  *end = (char)('0' + call->fd % 10);
  kernel(SYS_readlink, (long)link, (long)report->path, sizeof report->path - 1, 0, 0, 0);
}

static struct fault lie_about(const struct call* call) {
  const bool writes = call->kind == kind_write || call->kind == kind_pwrite;
  return (struct fault){.kind = fault_lost, .length = writes ? call->length : 0};
}

static struct fault fault_by(const struct plan* plan, const struct call* call, uint32_t number) {
  const struct fault none = {.kind = fault_none};
  if (!plan->wanted || call->kind != plan->kind || call->about != plan->about) return none;
  if (number < plan->number || (number > plan->number && !plan->sticky)) return none;
  if (plan->fault == fault_lie) return lie_about(call);
  if (plan->fault < 0) return shorter(call, plan->fault);
  return (struct fault){.kind = fault_errno, .error = plan->fault};
}

struct fault fault_for(const struct call* call) {
  const uint32_t number =
      __atomic_add_fetch(&report->counts[call->kind][call->about], 1, __ATOMIC_RELAXED);
  const struct fault fault = fault_by(&plans[0], call, number);
  if (fault.kind == fault_none) return fault_by(&plans[1], call, number);
  tell(call, number);
  return fault;
}
