#include "imgtool/jobs/disk_survey.hpp"

#include <vector>

#include <fmt/format.h>

#include "formats/disks/filesystems/probe.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "formats/disks/partitions/truncation.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::partitions::Layout;
using formats::partitions::TableKind;

constexpr std::size_t most_names = 8;

std::string in_words(const Layout& layout) {
  const std::size_t count = layout.partitions.size();
  std::string text =
      fmt::format("{} with {} partition{}", layout.kind == TableKind::gpt ? "GPT" : "MBR", count,
                  count == 1 ? "" : "s");
  std::vector<std::string> names;
  for (const auto& partition : layout.partitions) {
    if (!partition.name.empty() && names.size() < most_names) names.push_back(partition.name);
  }
  if (!names.empty()) text += fmt::format(": {}", fmt::join(names, ", "));
  return text;
}

DiskSurvey survey_view(formats::DiskView& view, bool deep) {
  const Layout layout = formats::partitions::read_layout(view);
  if (!layout.partitions.empty()) return {ContentKind::partitioned, in_words(layout)};
  if (formats::partitions::is_iso(view)) return {ContentKind::unknown, "an ISO image"};
  if (!deep) return {ContentKind::unknown, "no partition table"};
  const auto found =
      formats::filesystems::probe(view, {.map_check = formats::filesystems::MapCheck::believed});
  if (found.type.empty()) {
    return {ContentKind::unknown, "no partition table or file system that is known"};
  }
  std::string text = found.type + " without a partition table";
  if (!found.label.empty()) text += fmt::format(", label {}", found.label);
  return {ContentKind::bare, text};
}

}  // namespace

DiskSurvey survey(io::Ring& ring, io::Source& disk, bool deep) {
  if (!disk.seekable() || disk.size().value_or(0) == 0) return {};
  try {
    formats::DiskView view(ring, disk);
    return survey_view(view, deep);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    return {ContentKind::unknown, "unreadable"};
  }
}

std::string content_identity(io::Ring& ring, io::Source& disk, const io::StopFlag& stop) {
  if (disk.size().value_or(0) == 0) return "";
  try {
    formats::DiskView view(ring, disk, &stop);
    const Layout layout = formats::partitions::read_layout(view);
    if (layout.kind != TableKind::none) {
      return fmt::format("{} {}", layout.kind == TableKind::gpt ? "GPT" : "MBR", layout.id());
    }
    const auto found =
        formats::filesystems::probe(view, {.map_check = formats::filesystems::MapCheck::believed});
    return found.uuid.empty() ? "" : fmt::format("{} {}", found.type, found.uuid);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    return "";
  }
}

std::string misplaced(const DiskSurvey& image, const io::BlockDevice& device) {
  if (image.kind == ContentKind::partitioned && device.kind == io::DeviceKind::partition) {
    return fmt::format("the image is of a whole disk, and {} is a partition of {}", device.path,
                       device.parent);
  }
  const bool whole = device.kind == io::DeviceKind::disk || device.kind == io::DeviceKind::loop;
  if (image.kind == ContentKind::bare && whole) {
    return fmt::format("the image is of a partition, and {} is a whole disk", device.path);
  }
  return "";
}

}  // namespace imgtool
