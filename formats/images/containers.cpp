#include "formats/images/containers.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "formats/images/archives/member_choice.hpp"
#include "formats/images/archives/ova/digest_check.hpp"
#include "formats/images/archives/tar/appliance.hpp"
#include "formats/images/archives/tar/member.hpp"
#include "formats/images/archives/tar/stream.hpp"
#include "formats/images/archives/zip/member.hpp"
#include "formats/images/disk_stream.hpp"
#include "formats/images/dmg/layout.hpp"
#include "formats/images/foreign.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/streams/decoder.hpp"
#include "formats/images/streams/file_stream.hpp"
#include "formats/images/vhd/footer.hpp"
#include "formats/images/vmdk/stream.hpp"
#include "formats/images/zst/image.hpp"
#include "formats/images/zst/label.hpp"
#include "io/buffer_pool.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace formats {
namespace {

constexpr unsigned most_layers = 3;

bool has_suffix(std::string_view name, std::string_view suffix) {
  return name.size() >= suffix.size() &&
         std::equal(suffix.rbegin(), suffix.rend(), name.rbegin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b + ('a' - 'A')) : b);
         });
}

std::string without_last_suffix(const std::string& name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string::npos ? name : name.substr(0, dot);
}

std::string member_name(const io::File& file, const std::string& member) {
  return file.path() + ": " + member;
}

}  // namespace

void Containers::check_member_was_found(const std::string& path) const {
  if (options_.member.empty() || member_was_found_) return;
  throw io::Error::refusal(path, "is no archive, and has no members");
}

void Containers::go_deeper(const std::string& name) {
  if (++depth_ <= most_layers) return;
  throw io::Error::refusal(
      name, fmt::format("is packed more than {} times: unpack it first", most_layers));
}

std::unique_ptr<Image> Containers::open(io::File file, Format format) {
  go_deeper(file.path());
  if (format == Format::zip) return open_zip(std::move(file));
  if (format == Format::tar) return open_tar(std::move(file));
  return open_packed(std::move(file), format);
}

// --- archives in files ------------------------------------------------------------------------

std::unique_ptr<Image> Containers::open_zip(io::File file) {
  const zip::Directory directory = zip::read_directory(file);
  archives::MemberList list(file.path());
  for (const zip::Member& member : directory.members) list.add(member.name, member.size);
  const zip::Member& member = directory.members[archives::choose_member(list, options_.member)];
  member_was_found_ = true;
  const std::string name = member_name(file, member.name);
  zip::refuse_unreadable(file, member);
  const io::ByteRange data = zip::data_of(file, directory, member);
  if (member.method == zip::stored) {
    if (data.length != member.size) {
      throw io::Error::format(
          file.path(), member.listed_at,
          fmt::format("a member of {} bytes is said to be stored in {}", member.size, data.length));
    }
    auto check = archives::make_crc32_check(member.crc, file.path(), member.listed_at);
    return open_window(std::move(file), Format::zip, data, name, std::move(check));
  }
  Stream stream;
  stream.bytes = std::make_unique<streams::PeekStream>(
      zip::open_member(file, member, data, name, options_.stop));
  stream.size = member.size;
  stream.name = stream.label = name;
  stream.place = " inside zip";
  return open_stream(std::move(stream), Format::zip, std::make_unique<io::File>(std::move(file)));
}

std::unique_ptr<Image> Containers::open_tar(io::File file) {
  archives::MemberList list(file.path());
  const auto members = tar::list_members(file, list);
  const tar::Appliance appliance = tar::read_appliance(file, members);
  const std::size_t chosen = tar::choose_disk(list, appliance, options_.member);
  member_was_found_ = true;
  const tar::Member member = tar::read_member(file, members[chosen]);
  const std::string name = member_name(file, member.name);
  auto check = ova::make_digest_check(appliance.manifest, member.name, file.path());
  if (!member.sparse) {
    return open_window(std::move(file), Format::tar, member.data, name, std::move(check));
  }
  Stream stream;
  std::unique_ptr<io::ByteStream> content = tar::open_member(file, member, name, options_.stop);
  if (check) {
    content = std::make_unique<archives::MemberStream>(std::move(content), member.size,
                                                       std::move(check), name);
  }
  stream.bytes = std::make_unique<streams::PeekStream>(std::move(content));
  stream.size = member.size;
  stream.name = stream.label = name;
  stream.place = " inside tar";
  return open_stream(std::move(stream), Format::tar, std::make_unique<io::File>(std::move(file)));
}

std::unique_ptr<Image> Containers::open_window(io::File file, Format format, io::ByteRange range,
                                               const std::string& name,
                                               std::unique_ptr<archives::ContentCheck> check) {
  ContainedImage::Place place;
  place.format = format;
  place.offset = range.offset;
  auto image = open_file_(file.window(range, name), std::nullopt);
  if (check && !options_.layout_only) {
    place.check = std::make_unique<archives::BackgroundCheck>(file.window(range, name),
                                                              std::move(check), options_.stop);
  }
  place.container = std::make_unique<io::File>(std::move(file));
  return std::make_unique<ContainedImage>(std::move(image), std::move(place));
}

// --- streams ----------------------------------------------------------------------------------

// The first bytes and the last ones say it of what can be read at any place.
bool Containers::is_raw_disk(Image& image) {
  const std::uint64_t size = image.size().value_or(0);
  const io::AlignedMemory memory(probe_bytes);
  const auto bytes_at = [&](std::uint64_t offset, std::uint64_t length) {
    (void)io::run_task(ring_, image.read({offset, length}, memory.buffer()));
    return std::span<const std::byte>(memory.buffer().bytes.first(length));
  };
  const std::uint64_t length = std::min<std::uint64_t>(size, probe_bytes);
  if (length == 0) return true;
  const auto start = bytes_at(0, length);
  if (probe(start) != Format::raw || recognise_foreign(start)) return false;
  if (size < probe_bytes) return true;
  const auto end = bytes_at(size - length, length);
  return !vhd::is_fixed_footer(end, size - length) && !dmg::has_magic(end);
}

std::unique_ptr<Image> Containers::open_packed(io::File file, Format format) {
  const bool stated = options_.format.has_value();
  Stream stream;
  if (format == Format::zst) {
    if (auto image = zst::open_seekable(ring_, file, options_.workers)) {
      if (stated || is_raw_disk(*image)) {
        if (options_.snapshot.empty()) return image;
      }
      stream.size = image->size();
      file = image->files().front()->reopened();
    }
  }
  auto holder = std::make_unique<io::File>(std::move(file));
  if (!stream.size) stream.size = streams::stated_content_size(*holder, format);
  stream.name = holder->path();
  stream.label = without_last_suffix(stream.name);
  stream.place = fmt::format(" inside {}", name_of(format));
  stream.stated = stated;
  stream.bytes = std::make_unique<streams::PeekStream>(std::make_unique<streams::Decoder>(
      streams::make_codec(format),
      std::make_unique<io::SequentialReader>(*holder, std::vector<std::byte>{}, options_.stop),
      stream.name));
  return open_stream(std::move(stream), format, std::move(holder));
}

std::unique_ptr<Image> Containers::open_pipe(io::File pipe, Format format,
                                             std::vector<std::byte> start) {
  auto holder = std::make_unique<io::File>(std::move(pipe));
  Stream stream;
  stream.name = stream.label = holder->path();
  stream.place = " from a pipe";
  if (format == Format::zst) stream.size = zst::parse_label(start);
  auto bytes = std::make_unique<io::SequentialReader>(*holder, std::move(start), options_.stop);
  if (is_stream(format)) {
    go_deeper(stream.name);
    stream.place = fmt::format(" inside {}", name_of(format));
    stream.stated = options_.format.has_value();
    stream.bytes = std::make_unique<streams::PeekStream>(std::make_unique<streams::Decoder>(
        streams::make_codec(format), std::move(bytes), stream.name));
  } else {
    stream.stated = options_.format == Format::raw;
    stream.bytes = std::make_unique<streams::PeekStream>(std::move(bytes));
  }
  return open_stream(std::move(stream), format, std::move(holder));
}

std::unique_ptr<Image> Containers::open_stream(Stream stream, Format format,
                                               std::unique_ptr<io::File> holder) {
  Format found = Format::raw;
  do {
    found = format_in(stream);
  } while (unwrap(stream, found));
  return open_innermost(std::move(stream), found, format, std::move(holder));
}

// Only the end of a DMG says what it is, so its name has to.
Format Containers::format_in(Stream& stream) {
  if (stream.stated) return Format::raw;
  if (has_suffix(stream.label, ".dmg")) return Format::dmg;
  return probe(stream.bytes->peek(probe_bytes));
}

bool Containers::unwrap(Stream& stream, Format found) {
  if (is_stream(found)) {
    go_deeper(stream.name);
    stream.bytes = std::make_unique<streams::PeekStream>(std::make_unique<streams::Decoder>(
        streams::make_codec(found), std::move(stream.bytes), stream.name));
    stream.size.reset();
    stream.label = without_last_suffix(stream.label);
  } else if (found == Format::tar) {
    go_deeper(stream.name);
    auto member = std::make_unique<tar::MemberOfStream>(std::move(stream.bytes), stream.name,
                                                        options_.member);
    member_was_found_ = true;
    stream.size = member->size();
    stream.name += ": " + member->name();
    stream.label = member->name();
    stream.bytes = std::make_unique<streams::PeekStream>(std::move(member));
  } else {
    return false;
  }
  stream.place = fmt::format(" inside {}", name_of(found));
  return true;
}

std::unique_ptr<Image> Containers::open_innermost(Stream stream, Format found, Format format,
                                                  std::unique_ptr<io::File> holder) {
  const bool front_to_back =
      found == Format::raw || (found == Format::vmdk && vmdk::is_stream(stream.bytes->start()));
  if (!front_to_back || options_.any_place) {
    const auto stated = stream.stated ? std::optional(Format::raw) : std::nullopt;
    ContainedImage::Place place;
    place.format = format;
    io::File file = spool(*stream.bytes, stream.size, stream.name, options_.spool, options_.stop);
    auto image = open_file_(std::move(file), stated);
    place.container = std::move(holder);
    return std::make_unique<ContainedImage>(std::move(image), std::move(place));
  }
  if (!options_.snapshot.empty()) {
    throw io::Error(io::ErrorKind::format, stream.name,
                    fmt::format("is {}, and has no snapshots", name_of(format)));
  }
  streams::Content content = disk_of(std::move(stream), found);
  return std::make_unique<streams::StreamImage>(ring_, std::move(holder), format,
                                                std::move(content));
}

streams::Content Containers::disk_of(Stream stream, Format found) const {
  if (stream.stated) return {std::move(stream.bytes), stream.size};
  if (found == Format::vmdk) {
    auto disk = std::make_unique<vmdk::GrainStream>(std::move(stream.bytes), stream.name);
    const std::uint64_t size = disk->size();
    return {std::move(disk), size};
  }
  if (const auto kind = recognise_foreign(stream.bytes->start())) {
    refuse_foreign(stream.name, *kind, stream.place);
  }
  if (has_suffix(stream.label, ".vhd")) stream.size.reset();
  auto disk =
      std::make_unique<DiskStream>(std::move(stream.bytes), stream.size.has_value(), stream.name);
  return {std::move(disk), stream.size};
}

}  // namespace formats
