#include "formats/images/qcow2/resize.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "formats/images/qcow2/create_options.hpp"
#include "formats/images/qcow2/decompress.hpp"
#include "formats/images/qcow2/editing.hpp"
#include "formats/images/qcow2/entries.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "formats/images/qcow2/header_switch.hpp"
#include "formats/images/qcow2/refcount_editor.hpp"
#include "formats/images/qcow2/snapshots.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace formats::qcow2 {
namespace {

io::Error refusal(const io::File& file, std::string text) {
  return {io::ErrorKind::refused, file.path(), std::move(text)};
}

Header read_resizable(const io::File& file) {
  Header header = read_editable(file);
  if (header.external_data) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    "has an external data file, which would have to be resized too");
  }
  if (!header.bitmaps_consistent) header.bitmaps.reset();  // nobody can use them any more
  if (header.bitmaps) {
    throw refusal(file,
                  "has bitmaps, which are for its old size; remove them first (imgtool bitmap "
                  "IMAGE NAME --remove)");
  }
  return header;
}

class Editor {
 public:
  Editor(const io::File& file, Header header, const io::StopFlag& stop)
      : file_(file),
        stop_(stop),
        header_(std::move(header)),
        cluster_size_(header_.geometry.cluster_size()),
        l1_(read_table(header_.l1_offset.value, header_.l1_entries)),
        refcounts_(file, header_) {}

  void grow(std::uint64_t size) {
    const std::uint64_t needed = header_.geometry.l1_entries_for(size);
    if (needed > largest_l1_bytes / 8) {
      throw refusal(file_,
                    fmt::format("cannot have {} bytes with clusters of {}", size, cluster_size_));
    }
    io::throw_if_stopped(stop_, file_.path());
    clear_behind_the_end();
    const std::uint64_t room = io::align_up(l1_.size() * 8, cluster_size_) / 8;
    if (needed <= l1_.size()) {
      set_disk(size, header_.l1_offset, header_.l1_entries);
      write_header(file_, header_);
    } else if (needed <= room) {
      const std::vector<std::byte> zeros((needed - l1_.size()) * 8);
      file_.write_at(header_.l1_offset.value + l1_.size() * 8, zeros);
      set_disk(size, header_.l1_offset, needed);
      write_header(file_, header_);
    } else {
      move_l1(size, needed);
    }
  }

  void shrink(std::uint64_t size) {
    refuse_damaged(file_, stop_);
    refuse_compressed_end(size);
    // From here on the old content is gone; what follows gives its space back.
    set_disk(size, header_.l1_offset, header_.l1_entries);
    write_header(file_, header_);
    drop_content_behind(size);
    const io::StopFlag to_the_end{false};
    release_room_behind(file_, to_the_end);
  }

 private:
  [[nodiscard]] std::vector<std::uint64_t> read_table(std::uint64_t offset,
                                                      std::uint64_t words) const {
    return read_words(file_, {offset}, words);
  }

  void write_table(std::uint64_t offset, const std::vector<std::uint64_t>& table) {
    write_words(file_, {offset}, table);
  }

  // Size and L1 table change together.
  void set_disk(std::uint64_t size, HostOffset l1, std::uint64_t l1_entries) {
    header_.virtual_size = size;
    header_.l1_offset = l1;
    header_.l1_entries = static_cast<std::uint32_t>(l1_entries);
  }

  // --- growing ---

  // What a shrink left there that was cut off must not come to light again. With snapshots it may
  // be theirs, or the state of a suspended machine.
  void clear_behind_the_end() {
    const std::uint64_t size = header_.virtual_size;
    const bool clear_tail = is_clear_tail(size);
    if (clear_tail && has_no_entries_behind(size)) return;
    if (header_.snapshot_count > 0 || (!clear_tail && is_compressed_at(size))) {
      throw refusal(file_,
                    "has content behind the end of its disk, which would come to light; convert "
                    "it, which leaves that out");
    }
    refuse_damaged(file_, stop_);
    drop_content_behind(size);
  }

  [[nodiscard]] bool has_no_entries_behind(std::uint64_t size) const {
    const auto is_zero_word = [](std::uint64_t word) { return word == 0; };
    const std::uint64_t end = io::align_up(size, cluster_size_);
    const std::uint64_t covered = header_.geometry.guest_bytes_per_l2();
    const auto used = static_cast<std::ptrdiff_t>(header_.geometry.l1_entries_for(size));
    if (!std::all_of(l1_.begin() + used, l1_.end(), is_zero_word)) return false;
    if (end % covered == 0 || l1_[end / covered] == 0) return true;
    const auto table = read_table(checked_l2(end / covered), cluster_size_ / 8);
    const auto kept = static_cast<std::ptrdiff_t>(end % covered / cluster_size_ *
                                                  (header_.geometry.l2_entry_bytes() / 8));
    return std::all_of(table.begin() + kept, table.end(), is_zero_word);
  }

  // Whether what the last cluster has behind the end reads as zeros. That of an encrypted image
  // is not looked at: it cannot shrink, and its zeros are not zeros.
  [[nodiscard]] bool is_clear_tail(std::uint64_t size) const {
    const std::uint64_t place = entry_cut_by(size);
    if (place == 0 || header_.encryption != Encryption::none) return true;
    const std::uint64_t word = read_table(place, 1).front();
    if (!header_.geometry.extended_l2 && (word & compressed_flag) == 0 && (word & zero_flag) != 0) {
      return true;
    }
    std::vector<std::byte> cluster(cluster_size_);
    if ((word & compressed_flag) != 0) {
      const CompressedStream stream = compressed_stream(word, header_.geometry);
      std::vector<std::byte> stored(stream.bytes);
      stored.resize(file_.read_at(stream.offset.value, stored));
      // Who reads it is told when it is damaged.
      if (!decompress(header_.compression, stored, cluster)) return true;
    } else if (table_offset(word).value != 0) {
      file_.read_at(table_offset(word).value, cluster);
    }
    return io::is_zero(std::span(cluster).subspan(header_.geometry.offset_in_cluster(size)));
  }

  void move_l1(std::uint64_t size, std::uint64_t entries) {
    refuse_damaged(file_, stop_);
    std::vector<std::uint64_t> table = l1_;
    table.resize(entries);
    const HostOffset place = refcounts_.place(bytes_of(table));
    refcounts_.release(header_.l1_offset, l1_.size() * 8);
    set_disk(size, place, entries);
    refcounts_.take_into_use(header_);
  }

  // --- content behind the end ---

  // It is out of sight: the header says that the disk ends at `size`. Entries go before their
  // refcounts do, so at worst space leaks.
  void drop_content_behind(std::uint64_t size) {
    clear_last_cluster(size);
    drop_tables(size);
    file_.sync();
    for (const std::uint64_t cluster : released_) refcounts_.release(cluster);
    released_.clear();
    refcounts_.take_into_use(header_);
  }

  // L2 tables that describe something behind `size`.
  void drop_tables(std::uint64_t size) {
    const std::uint64_t covered = header_.geometry.guest_bytes_per_l2();
    const std::uint64_t end = io::align_up(size, cluster_size_);
    for (std::uint64_t index = end / covered; index < l1_.size(); ++index) {
      if (l1_[index] == 0) continue;
      const std::uint64_t offset = checked_l2(index);
      auto table = read_table(offset, cluster_size_ / 8);
      const std::uint64_t keep = index == end / covered ? end % covered / cluster_size_ : 0;
      release_entries(table, keep, offset);
      if (keep > 0) {
        write_table(offset, table);
        continue;
      }
      l1_[index] = 0;
      released_.push_back(offset / cluster_size_);
    }
    write_table(header_.l1_offset.value, l1_);
  }

  [[nodiscard]] std::uint64_t checked_l2(std::uint64_t index) const {
    const std::string fault = l1_fault(l1_[index], header_.geometry, file_.size());
    if (fault.empty()) return table_offset(l1_[index]).value;
    throw io::Error::format(file_.path(), header_.l1_offset.value + index * 8, fault);
  }

  // Those from number `keep` on.
  void release_entries(std::vector<std::uint64_t>& table, std::uint64_t keep,
                       std::uint64_t offset) {
    const std::uint64_t words = header_.geometry.l2_entry_bytes() / 8;
    const L2Rules rules = rules_of(header_);
    for (std::uint64_t at = keep * words; at < table.size(); at += words) {
      const L2Entry entry{table[at], words == 2 ? table[at + 1] : 0};
      if (const std::string fault = l2_fault(entry, rules); !fault.empty()) {
        throw io::Error::format(file_.path(), offset + at * 8, fault);
      }
      for_each_cluster_of(entry, rules, [this](std::uint64_t used) { released_.push_back(used); });
      std::fill_n(table.begin() + static_cast<std::ptrdiff_t>(at), words, 0);
    }
  }

  // Where the entry of the cluster that `size` cuts in two stands; 0 where there is none.
  [[nodiscard]] std::uint64_t entry_cut_by(std::uint64_t size) const {
    const std::uint64_t covered = header_.geometry.guest_bytes_per_l2();
    if (header_.geometry.offset_in_cluster(size) == 0 || l1_[size / covered] == 0) return 0;
    return checked_l2(size / covered) +
           size % covered / cluster_size_ * header_.geometry.l2_entry_bytes();
  }

  [[nodiscard]] bool is_compressed_at(std::uint64_t size) const {
    const std::uint64_t place = entry_cut_by(size);
    return place != 0 && (read_table(place, 1).front() & compressed_flag) != 0;
  }

  // A stream cannot be cut, and its end would come back when the disk grows again.
  void refuse_compressed_end(std::uint64_t size) {
    if (!is_compressed_at(size)) return;
    throw refusal(file_, fmt::format("is compressed at its new end, {}, which can only be between "
                                     "two clusters there: {} or {}",
                                     size, io::align_down(size, cluster_size_),
                                     io::align_up(size, cluster_size_)));
  }

  // What is behind the end in the last cluster must not come back either.
  void clear_last_cluster(std::uint64_t size) {
    const std::uint64_t place = entry_cut_by(size);
    if (place == 0) return;
    const std::uint64_t word = read_table(place, 1).front();
    const std::uint64_t host = table_offset(word).value;
    if (host == 0 || (word & compressed_flag) != 0) return;
    const std::uint64_t inside = header_.geometry.offset_in_cluster(size);
    file_.write_at(host + inside, std::vector<std::byte>(cluster_size_ - inside));
  }

  const io::File& file_;
  const io::StopFlag& stop_;
  Header header_;
  std::uint64_t cluster_size_;
  std::vector<std::uint64_t> l1_;
  RefcountEditor refcounts_;
  std::vector<std::uint64_t> released_;  // clusters, once for each use
};

}  // namespace

void grow(const io::File& file, std::uint64_t new_size, const io::StopFlag& stop) {
  Header header = read_resizable(file);
  new_size = virtual_size_for(new_size);
  if (header.version == 2 && header.snapshot_count > 0) {
    throw refusal(file, "has snapshots that do not know their own size (compat=0.10)");
  }
  if (any_to_be_mended(read_snapshots(TableReader(file), header))) {
    throw refusal(file,
                  "has snapshots that do not know their own size; imgtool check --repair all tells "
                  "them");
  }
  Editor(file, std::move(header), stop).grow(new_size);
}

void shrink(const io::File& file, std::uint64_t new_size, const io::StopFlag& stop) {
  Header header = read_resizable(file);
  if (header.snapshot_count > 0) {
    throw refusal(file, "has snapshots; shrinking is possible only without them");
  }
  if (header.encryption != Encryption::none) {
    throw io::Error(io::ErrorKind::unsupported, file.path(), "is encrypted; it can only grow");
  }
  Editor(file, std::move(header), stop).shrink(virtual_size_for(new_size));
}

}  // namespace formats::qcow2
