#include "formats/disks/filesystems/ntfs/walk.hpp"

#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/bytes/utf16.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ntfs {
namespace {

constexpr std::uint64_t piece = io::MiB;  // a multiple of any record's size
constexpr std::uint64_t root_directory = 5;

// Whether this is hiberfil.sys in the root directory.
bool is_hibernation_file(const Record& record) {
  for (const Attribute& attribute : record.attributes()) {
    constexpr std::size_t name_at = 66;
    if (!attribute.is(AttributeType::file_name) || attribute.value.size() < name_at) continue;
    const auto parent = load_little_endian<std::uint64_t>(attribute.value, 0);
    if ((parent & 0x0000ffffffffffff) != root_directory) continue;
    std::string name = utf8_from_utf16(attribute.value.subspan(name_at));
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    if (name == "hiberfil.sys") return true;
  }
  return false;
}

class Walk {
 public:
  Walk(DiskView& volume, Mft& mft, const FreeClusters& free)
      : volume_(volume), mft_(mft), free_(free) {}

  void run() {
    const std::size_t record_size = mft_.geometry().record_size;
    const std::uint64_t end = io::align_down(mft_.data().initialized, record_size);
    for (std::uint64_t at = 0; at < end; at += piece) {
      const auto records = mft_.data().read(at, std::min(piece, end - at));
      for (std::size_t i = 0; i < records.size(); i += record_size) {
        look_at(std::span(records).subspan(i, record_size), (at + i) / record_size);
      }
    }
  }

 private:
  void look_at(std::span<const std::byte> bytes, std::uint64_t number) {
    if (!in_use(bytes)) {
      // "FILE" for one that is free, zeros for one that never was.
      const auto magic = load_little_endian<std::uint32_t>(bytes, 0);
      if (magic != file_magic && magic != 0) {
        throw Doubt(Reason::damaged, fmt::format("record {} of its MFT is damaged", number),
                    remedy_check);
      }
      return;
    }
    const Record record({bytes.begin(), bytes.end()}, number);
    for (const Attribute& attribute : record.attributes()) {
      if (!attribute.resident) check(decode_runs(attribute, mft_.geometry(), number), number);
    }
    if (is_hibernation_file(record)) check_hibernation(record);
  }

  void check(const std::vector<Run>& runs, std::uint64_t number) const {
    for (const Run& run : runs) {
      if (run.first && free_.have_any_of(*run.first, run.count)) {
        throw Doubt(
            Reason::damaged,
            fmt::format("the file of record {} uses clusters that $Bitmap calls free", number),
            remedy_check);
      }
    }
  }

  void check_hibernation(const Record& record) {
    const Attribute* data = record.find(AttributeType::data);
    if (data == nullptr || data->resident || data->lowest != 0 || data->initialized < 4) return;
    const std::vector<Run> runs = decode_runs(*data, mft_.geometry(), record.number());
    if (runs.empty() || !runs.front().first) return;
    const auto head =
        volume_.read(*runs.front().first * mft_.geometry().cluster_size, sizeof(std::uint32_t));
    const auto word = load_little_endian<std::uint32_t>(head, 0);
    if (word == 0x72626968 || word == 0x52424948) {  // "hibr", "HIBR"
      throw Doubt(Reason::hibernated, "Windows is hibernated (hiberfil.sys)", remedy_shutdown);
    }
  }

  DiskView& volume_;
  Mft& mft_;
  const FreeClusters& free_;
};

}  // namespace

void walk_mft(DiskView& volume, Mft& mft, const FreeClusters& free) {
  Walk(volume, mft, free).run();
}

}  // namespace formats::filesystems::ntfs
