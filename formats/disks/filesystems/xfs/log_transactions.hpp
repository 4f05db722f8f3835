// Puts the operations of log records together to transactions, in the order in which these were
// committed. Operations are cut where a record ends, and those of several transactions may be
// mixed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "formats/disks/filesystems/xfs/log_record.hpp"

namespace formats::filesystems::xfs {

// What one object was changed to: a region that describes it, then its content.
struct LogItem {
  std::vector<std::vector<std::byte>> regions;
  unsigned expected = 0;  // how many regions the first one promises
};

struct LogTransaction {
  std::uint64_t lsn = 0;  // of the record that it begins in: cycle, block
  std::vector<std::byte> header;
  std::vector<LogItem> items;
};

class LogTransactions {
 public:
  using Commit = std::function<void(const LogTransaction&)>;

  explicit LogTransactions(Commit commit) : commit_(std::move(commit)) {}

  // In the order of the log. What began before the first of them is left out, as the kernel does:
  // it is in its place. What has no end when all were added was never committed. Throws Doubt.
  // Memory: the content of the transactions that are open, at most 128 MiB.
  void add(const LogRecord& record);

 private:
  void operation(std::uint32_t transaction, unsigned flags, std::span<const std::byte> region,
                 const LogRecord& record);
  void add_region(LogTransaction& transaction, std::span<const std::byte> region);
  void continue_region(LogTransaction& transaction, std::span<const std::byte> region);

  Commit commit_;
  std::map<std::uint32_t, LogTransaction> open_;
  std::uint64_t bytes_ = 0;  // in open_, and in what was committed since it was empty
};

}  // namespace formats::filesystems::xfs
