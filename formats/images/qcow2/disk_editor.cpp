#include "formats/images/qcow2/disk_editor.hpp"

#include <cassert>
#include <utility>

#include "formats/images/qcow2/tables.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t all_allocated = 0xffffffff;
constexpr std::uint64_t all_zero = all_allocated << 32;

}  // namespace

void refuse_unwritable(const io::File& file, const Header& header) {
  if (header.encryption != Encryption::none) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    "is encrypted, and imgtool cannot write what is to be decrypted");
  }
  if (header.external_data) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    "has an external data file, which qemu-img can write to");
  }
}

DiskEditor::DiskEditor(const io::File& file, const Header& now, Header next)
    : file_(file),
      next_(std::move(next)),
      cluster_size_(now.geometry.cluster_size()),
      rules_(rules_of(now)),
      unallocated_is_zero_(now.backing_file.empty() && next_.backing_file.empty()),
      refcounts_(file, now),
      l1_(read_words(file, now.l1_offset, now.l1_entries)),
      table_(now.geometry) {
  // Finds what is wrong with it.
  (void)load_l1(TableReader(file), now.geometry, now.l1_offset, now.l1_entries);
  refuse_unwritable(file, now);
}

void DiskEditor::write(GuestOffset guest, std::span<const std::byte> content) {
  assert(rules_.geometry.offset_in_cluster(guest.value) == 0);
  assert(content.size() % cluster_size_ == 0);
  const std::uint64_t per_table = rules_.geometry.l2_entries();
  // Clusters that follow one another in the file, too, are written at once.
  std::span<const std::byte> piece;
  std::uint64_t place = 0;
  for (std::size_t at = 0; at < content.size(); at += cluster_size_) {
    const std::uint64_t cluster = (guest.value + at) / cluster_size_;
    open_table(cluster / per_table);
    const auto one = content.subspan(at, cluster_size_);
    if (io::is_zero(one) && make_zero(cluster % per_table)) continue;
    const std::uint64_t wanted = place_for(cluster % per_table);
    data_bytes_ += cluster_size_;
    if (!piece.empty() && place + piece.size() == wanted &&
        piece.data() + piece.size() == one.data()) {
      piece = {piece.data(), piece.size() + one.size()};
      continue;
    }
    if (!piece.empty()) file_.write_at(place, piece);
    piece = one;
    place = wanted;
  }
  if (!piece.empty()) file_.write_at(place, piece);
}

void DiskEditor::finish() {
  close_table();
  if (l1_changed_) {
    refcounts_.release(next_.l1_offset, l1_.size() * 8);
    next_.l1_offset = refcounts_.place(bytes_of(l1_));
  }
  refcounts_.take_into_use(next_);
}

// --- tables ---

void DiskEditor::open_table(std::uint64_t index) {
  if (open_ == index) return;
  close_table();
  const HostOffset l2 = table_offset(l1_[index]);
  table_ = l2.value == 0 ? L2Words(rules_.geometry) : L2Words(file_, l2, rules_);
  open_ = index;
}

void DiskEditor::close_table() {
  if (!table_changed_) return;
  std::uint64_t& word = l1_[*open_];
  if (word != 0) refcounts_.release(table_offset(word).value / cluster_size_);
  word = refcounts_.place(bytes_of(table_.words())).value | copied_flag;
  l1_changed_ = true;
  table_changed_ = false;
}

void DiskEditor::replace(std::uint64_t index, const L2Entry& entry) {
  for_each_cluster_of(table_.at(index), rules_,
                      [this](std::uint64_t used) { refcounts_.release(used); });
  table_.set(index, entry);
  table_changed_ = true;
}

// --- entries ---

std::uint64_t DiskEditor::place_for(std::uint64_t index) {
  const L2Entry entry = table_.at(index);
  const std::uint64_t subclusters = rules_.geometry.extended_l2 ? all_allocated : 0;
  const std::uint64_t own = table_offset(entry.word).value;
  if (!entry.compressed() && (entry.word & copied_flag) != 0 && own != 0) {
    const L2Entry full{own | copied_flag, subclusters};
    if (full.word != entry.word || full.subclusters != entry.subclusters) {
      table_.set(index, full);
      table_changed_ = true;
    }
    return own;
  }
  const std::uint64_t place = refcounts_.allocate(1).value;
  replace(index, {place | copied_flag, subclusters});
  return place;
}

// False where zeros have to be stored.
bool DiskEditor::make_zero(std::uint64_t index) {
  if (!unallocated_is_zero_ && !rules_.zero_flag_allowed) return false;
  zero_bytes_ += cluster_size_;
  if (reads_as_zeros(table_.at(index))) return true;
  L2Entry zeros;
  if (!unallocated_is_zero_) {
    zeros = rules_.geometry.extended_l2 ? L2Entry{0, all_zero} : L2Entry{zero_flag, 0};
  }
  replace(index, zeros);
  return true;
}

bool DiskEditor::reads_as_zeros(const L2Entry& entry) const {
  if (entry.compressed()) return false;
  if (rules_.geometry.extended_l2) {
    if (unallocated_is_zero_) return (entry.subclusters & all_allocated) == 0;
    return entry.subclusters == all_zero;
  }
  if ((entry.word & zero_flag) != 0) return true;
  return unallocated_is_zero_ && table_offset(entry.word).value == 0;
}

}  // namespace formats::qcow2
