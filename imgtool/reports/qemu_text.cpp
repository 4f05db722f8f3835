#include "imgtool/reports/qemu_text.hpp"

#include <array>
#include <cstddef>

#include <fmt/format.h>

#include "formats/images/reference.hpp"
#include "imgtool/reports/snapshot_report.hpp"
#include "imgtool/terminal/escape.hpp"

namespace imgtool {
namespace {

using formats::ImageFacts;
using formats::qcow2::Bitmap;
using formats::qcow2::Compression;
using formats::qcow2::Encryption;
using formats::qcow2::Header;
using formats::qcow2::Snapshot;

std::string yes_or_no(bool value) { return value ? "true" : "false"; }

std::string backing_lines(const std::string& path, const Header& header) {
  if (header.backing_file.empty()) return "";
  const std::string full = formats::reference_path(path, header.backing_file);
  std::string text = fmt::format("backing file: {}", terminal_text(header.backing_file));
  if (full != header.backing_file) {
    text += fmt::format(" (actual path: {})", terminal_text(full));
  }
  text += '\n';
  if (!header.backing_format.empty()) {
    text += fmt::format("backing file format: {}\n", terminal_text(header.backing_format));
  }
  return text;
}

std::string bitmap_lines(const std::vector<Bitmap>& bitmaps) {
  if (bitmaps.empty()) return "";
  std::string text = "    bitmaps:\n";
  for (std::size_t i = 0; i < bitmaps.size(); ++i) {
    const Bitmap& bitmap = bitmaps[i];
    text += fmt::format("        [{}]:\n            flags:\n", i);
    std::size_t flags = 0;
    if (bitmap.in_use) text += fmt::format("                [{}]: in-use\n", flags++);
    if (bitmap.automatic) text += fmt::format("                [{}]: auto\n", flags++);
    text += fmt::format("            name: {}\n            granularity: {}\n",
                        terminal_text(bitmap.name), std::uint64_t{1} << bitmap.granularity_bits);
  }
  return text;
}

std::string qcow2_lines(const formats::Qcow2Facts& facts) {
  const Header& header = facts.header;
  std::string text =
      fmt::format("Format specific information:\n    compat: {}\n    compression type: {}\n",
                  header.version == 2 ? "0.10" : "1.1",
                  header.compression == Compression::zstd ? "zstd" : "zlib");
  if (header.version > 2) {
    text += fmt::format("    lazy refcounts: {}\n", yes_or_no(header.lazy_refcounts));
  }
  text += bitmap_lines(facts.bitmaps);
  text += fmt::format("    refcount bits: {}\n", header.refcount_bits);
  if (header.external_data) {
    text += fmt::format("    data file: {}\n    data file raw: {}\n",
                        terminal_text(header.data_file), yes_or_no(header.raw_external_data));
  }
  if (header.version > 2) {
    text += fmt::format("    corrupt: {}\n    extended l2: {}\n", yes_or_no(header.corrupt),
                        yes_or_no(header.geometry.extended_l2));
  }
  return text;
}

}  // namespace

std::string qemu_size(std::uint64_t bytes) {
  constexpr std::array units = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  // As qemu: 1000 of a unit and more are a fraction of the next.
  while (value >= 1000 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.3g} {}B", value, units[unit]);
}

std::string qemu_info(const ImageFacts& facts) {
  const bool encrypted = facts.qcow2 && facts.qcow2->header.encryption != Encryption::none;
  const bool dirty =
      (facts.qcow2 && facts.qcow2->header.dirty) || (facts.blocks && facts.blocks->dirty);
  const std::uint64_t size = facts.virtual_size.value_or(0);
  std::string text =
      fmt::format("image: {}\nfile format: {}\nvirtual size: {} ({} bytes)\ndisk size: {}\n",
                  terminal_text(facts.path), name_of(facts.format), qemu_size(size), size,
                  qemu_size(facts.allocated_size));
  if (encrypted) text += "encrypted: yes\n";
  if (facts.qcow2) {
    text += fmt::format("cluster_size: {}\n", facts.qcow2->header.geometry.cluster_size());
  } else if (facts.blocks && facts.blocks->block_size != 0) {
    text += fmt::format("cluster_size: {}\n", facts.blocks->block_size);
  }
  if (dirty) text += "cleanly shut down: no\n";
  if (!facts.qcow2) return text;
  text += backing_lines(facts.path, facts.qcow2->header);
  text += qemu_snapshot_list(facts.qcow2->snapshots);
  return text + qcow2_lines(*facts.qcow2);
}

std::string qemu_snapshot_list(const std::vector<Snapshot>& snapshots) {
  if (snapshots.empty()) return "";
  const auto row = [](const std::string& id, const std::string& tag, const std::string& size,
                      const std::string& date, const std::string& clock,
                      const std::string& icount) {
    return fmt::format("{:<10}{:<17}{:>8}{:>20}{:>13}{:>11}\n", id, tag, size, date, clock, icount);
  };
  std::string text = "Snapshot list:\n" + row("ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
  for (const Snapshot& snapshot : snapshots) {
    text += row(terminal_text(snapshot.id), terminal_text(snapshot.name),
                qemu_size(snapshot.vm_state_size), local_time(snapshot.date_sec),
                machine_time(snapshot.vm_clock_nsec),
                snapshot.icount ? fmt::to_string(*snapshot.icount) : "");
  }
  return text;
}

}  // namespace imgtool
