// relayout [--windows] [--sector-size=N] OLD NEW [NUMBER:LENGTH[:swap|:nothing|:stay]]...: the disk
// OLD, an image of any format, with smaller partitions as the raw file NEW, for tests that look at
// it with other programs. Prints what the plan says, as JSON.
#include <fcntl.h>
#include <charconv>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/disks/partitions/relayout.hpp"
#include "formats/images/image.hpp"
#include "io/copier.hpp"
#include "io/error.hpp"
#include "io/file_target.hpp"

namespace {

using formats::partitions::Carry;
using formats::partitions::PartitionChange;
using formats::partitions::Relayout;
using Json = nlohmann::ordered_json;

class SilentObserver final : public io::CopyObserver {
 public:
  void begin(io::Phase, std::size_t, std::optional<std::uint64_t>) override {}
  void completed(io::Phase, std::size_t, std::uint64_t) override {}
  void end(io::Phase, std::size_t) override {}
  void failed(std::size_t, std::string_view) override {}
  void tick() override {}
};

struct Arguments {
  formats::partitions::RelayoutOptions options;
  formats::partitions::LayoutOptions layout;
  std::vector<std::string> files;
  std::vector<PartitionChange> changes;
};

std::uint64_t number_at(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) throw std::invalid_argument("no number: " + std::string(text));
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.starts_with(':')) text.remove_prefix(1);
  return value;
}

Arguments parse(int argc, char** argv) {
  Arguments all;
  for (std::string_view word : std::vector<std::string_view>(argv + 1, argv + argc)) {
    constexpr std::string_view sector_size = "--sector-size=";
    if (word == "--windows") {
      all.options.windows_mbr = true;
    } else if (word.starts_with(sector_size)) {
      word.remove_prefix(sector_size.size());
      all.layout.sector_size = number_at(word);
    } else if (all.files.size() < 2) {
      all.files.emplace_back(word);
    } else {
      PartitionChange change;
      change.number = static_cast<unsigned>(number_at(word));
      change.length = number_at(word);
      if (word == "swap") change.carry = Carry::swap_header;
      if (word == "nothing") change.carry = Carry::nothing;
      if (word == "stay") change.may_move = false;
      all.changes.push_back(std::move(change));
    }
  }
  if (all.files.size() != 2) throw std::invalid_argument("two files are needed");
  return all;
}

void copy(io::Ring& ring, io::Source& source, const std::string& path) {
  io::File file(path, O_RDWR | O_CREAT | O_TRUNC);
  file.truncate(*source.size());
  io::FileTargetOptions how;
  how.starts_as_zeros = true;
  io::FileTarget target(ring, file, *source.size(), how);
  io::CopyTarget copy;
  copy.target = &target;
  std::vector<io::CopyTarget> targets{copy};
  SilentObserver observer;
  const io::StopFlag stop{0};
  io::Copier copier(ring, source, targets, {}, observer, stop);
  copier.run({{0, *source.size()}});
  copier.flush();
  if (targets.front().error) throw io::Error(*targets.front().error);
}

Json describe(const Relayout& plan) {
  Json document;
  document["size"] = plan.disk_size;
  document["partitions"] = Json::array();
  for (const auto& place : plan.placements) {
    document["partitions"].push_back({{"number", place.number},
                                      {"start", place.new_start},
                                      {"length", place.new_length},
                                      {"why-not-moved", place.why_not_moved}});
  }
  document["left-out"] = Json::array();
  for (const auto& range : plan.left_out) {
    document["left-out"].push_back({range.offset, range.length});
  }
  return document;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Arguments arguments = parse(argc, argv);
    const io::MadeRing made = io::make_ring({});
    const auto image = formats::open_image(*made.ring, arguments.files[0], {});
    formats::DiskView disk(*made.ring, *image);
    const auto layout = formats::partitions::read_layout(disk, arguments.layout);
    const Relayout plan =
        formats::partitions::plan_relayout(disk, layout, arguments.changes, arguments.options);
    const auto source = formats::partitions::relaid_source(*image, plan);
    copy(*made.ring, *source, arguments.files[1]);
    fmt::print("{}\n", describe(plan).dump(1));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "relayout: {}\n", error.what());
    return 1;
  }
}
