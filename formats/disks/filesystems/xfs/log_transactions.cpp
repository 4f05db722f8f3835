#include "formats/disks/filesystems/xfs/log_transactions.hpp"

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/xfs/log.hpp"
#include "formats/disks/filesystems/xfs/words.hpp"

namespace formats::filesystems::xfs {
namespace {

using Bytes = std::span<const std::byte>;

// Flags of an operation (XLOG_*_TRANS).
namespace operation {
enum Flags : unsigned {
  starts = 0x1,
  commits = 0x2,
  continues = 0x4,      // goes on in the next record
  was_continued = 0x8,  // goes on from the one before
  ends = 0x10,          // of a region that was cut
  unmounts = 0x20,
};
constexpr std::size_t header_size = 12;
}  // namespace operation

constexpr std::size_t transaction_header_size = 16;  // struct xfs_trans_header

}  // namespace

void LogTransactions::add(const LogRecord& record) {
  if (!record.is_little_endian) cannot_replay("its log is of a big-endian machine");
  Bytes left = record.content;
  for (std::uint32_t i = 0; i < record.operations; ++i) {
    check_log(left.size() >= operation::header_size);
    const std::uint32_t length = u32(left, 4);
    const unsigned flags = u8(left, 9);
    const std::uint32_t transaction = u32(left, 0);
    left = left.subspan(operation::header_size);
    check_log(length <= left.size());
    operation(transaction, flags, left.first(length), record);
    left = left.subspan(length);
  }
}

void LogTransactions::operation(std::uint32_t transaction, unsigned flags, Bytes region,
                                const LogRecord& record) {
  constexpr std::uint64_t most_bytes = std::uint64_t{128} << 20;
  if ((flags & operation::unmounts) != 0) return;
  if ((flags & operation::starts) != 0) {
    LogTransaction begun;
    begun.lsn = std::uint64_t{record.cycle} << 32 | record.block;
    open_.insert_or_assign(transaction, std::move(begun));
    return;
  }
  const auto found = open_.find(transaction);
  if (found == open_.end()) return;
  bytes_ += region.size();
  if (bytes_ > most_bytes) cannot_replay("its log has too large a transaction");
  const unsigned kind = flags & ~unsigned{operation::ends};
  if (kind == operation::commits) {
    const LogTransaction whole = std::move(found->second);
    open_.erase(found);
    if (open_.empty()) bytes_ = 0;
    commit_(whole);
  } else if ((kind & operation::was_continued) != 0) {
    continue_region(found->second, region);
  } else if (kind == 0 || kind == operation::continues) {
    add_region(found->second, region);
  } else {
    check_log(false);
  }
}

void LogTransactions::add_region(LogTransaction& transaction, Bytes region) {
  if (region.empty()) return;
  if (transaction.header.size() < transaction_header_size) {
    check_log(transaction.header.empty() && region.size() <= transaction_header_size);
    transaction.header.assign(region.begin(), region.end());
    return;
  }
  auto& items = transaction.items;
  if (items.empty() || items.back().regions.size() == items.back().expected) {
    constexpr unsigned most_regions = 4096;
    check_log(region.size() >= 4);
    items.emplace_back();
    items.back().expected = load_little_endian<std::uint16_t>(region, 2);
    check_log(items.back().expected > 0 && items.back().expected <= most_regions);
  }
  items.back().regions.emplace_back(region.begin(), region.end());
}

void LogTransactions::continue_region(LogTransaction& transaction, Bytes region) {
  if (transaction.header.size() < transaction_header_size) {
    check_log(region.size() <= transaction_header_size - transaction.header.size());
    transaction.header.insert(transaction.header.end(), region.begin(), region.end());
    return;
  }
  check_log(!transaction.items.empty());
  auto& last = transaction.items.back().regions.back();
  last.insert(last.end(), region.begin(), region.end());
}

}  // namespace formats::filesystems::xfs
