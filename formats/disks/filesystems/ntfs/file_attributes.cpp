#include "formats/disks/filesystems/ntfs/file_attributes.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ntfs {
namespace {

constexpr std::uint64_t longest_list = 256 * io::KiB;

bool has_name(const Attribute& attribute, std::u16string_view name) {
  if (attribute.name.size() != name.size() * 2) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (load_little_endian<std::uint16_t>(attribute.name, 2 * i) != name[i]) return false;
  }
  return true;
}

[[noreturn]] void broken_attributes(std::uint64_t record) {
  throw Doubt(Reason::damaged,
              fmt::format("has a broken list of attributes in record {} of its MFT", record),
              remedy_check);
}

}  // namespace

FileAttributes::FileAttributes(DiskView& volume, Mft& mft, std::uint64_t number,
                               RecordBudget& budget)
    : geometry_(mft.geometry()) {
  records_.push_back(mft.record(number));
  if (base().base() != 0) broken_attributes(number);
  if (const Attribute* list = base().find(AttributeType::attribute_list)) {
    read_list(volume, mft, *list, budget);
  }
  for (const Record& record : records_) {
    for (const Attribute& attribute : record.attributes()) all_.push_back(&attribute);
  }
}

void FileAttributes::read_list(DiskView& volume, Mft& mft, const Attribute& list,
                               RecordBudget& budget) {
  std::vector<std::byte> bytes(list.value.begin(), list.value.end());
  const std::uint64_t number = base().number();
  if (!list.resident) {
    if (list.lowest != 0 || list.size > longest_list) broken_attributes(number);
    Stream stream(volume, geometry_);
    stream.append(decode_runs(list, geometry_, number));
    bytes = stream.read(0, list.size);
  }
  constexpr std::size_t entry_bytes = 26;
  std::vector<std::uint64_t> others;
  for (std::span<const std::byte> rest = bytes; rest.size() >= entry_bytes;) {
    const std::size_t length = load_little_endian<std::uint16_t>(rest, 4);
    if (length < entry_bytes || length > rest.size()) broken_attributes(number);
    const auto target = load_little_endian<std::uint64_t>(rest, 16) & 0x0000ffffffffffff;
    if (target != number) others.push_back(target);
    rest = rest.subspan(length);
  }
  std::sort(others.begin(), others.end());
  others.erase(std::unique(others.begin(), others.end()), others.end());
  for (const std::uint64_t other : others) {
    if (budget.left == 0) {
      throw Doubt(Reason::damaged, "has files in more records than its MFT has", remedy_check);
    }
    --budget.left;
    Record record = mft.record(other);
    if (record.base() != number) broken_attributes(number);
    records_.push_back(std::move(record));
  }
}

const Attribute* FileAttributes::find(AttributeType type, std::u16string_view name) const {
  for (const Attribute* attribute : all_) {
    if (attribute->is(type) && has_name(*attribute, name) &&
        (attribute->resident || attribute->lowest == 0)) {
      return attribute;
    }
  }
  return nullptr;
}

std::vector<Run> FileAttributes::runs_of(AttributeType type, std::u16string_view name) const {
  std::vector<const Attribute*> pieces;
  for (const Attribute* attribute : all_) {
    if (attribute->is(type) && has_name(*attribute, name) && !attribute->resident) {
      pieces.push_back(attribute);
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const Attribute* a, const Attribute* b) { return a->lowest < b->lowest; });
  std::vector<Run> runs;
  Vcn next = 0;
  for (const Attribute* piece : pieces) {
    if (piece->lowest != next) broken_attributes(base().number());
    for (const Run& run : decode_runs(*piece, geometry_, base().number())) {
      next += run.count;
      runs.push_back(run);
    }
  }
  return runs;
}

std::uint64_t FileAttributes::stored() const {
  std::uint64_t clusters = 0;
  for (const Attribute* attribute : all_) {
    if (attribute->resident) continue;
    for (const Run& run : decode_runs(*attribute, geometry_, base().number())) {
      if (run.first) clusters += run.count;
    }
  }
  return clusters * geometry_.cluster_size;
}

}  // namespace formats::filesystems::ntfs
