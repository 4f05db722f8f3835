#include "formats/images/archives/tar/walker.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace formats::tar {
namespace {

// A name is shorter, and so is what pax says of a member; but a map of segments is not.
constexpr std::uint64_t longest_name = 64 * io::KiB;
constexpr std::uint64_t longest_pax = 32 * io::MiB;

bool has_data(char type) { return type < '1' || type > '6'; }
bool is_file(char type) { return type == '0' || type == '\0' || type == '7' || type == 'S'; }

}  // namespace

std::size_t FileInput::read(std::span<std::byte> buffer) {
  const std::size_t count = file_.read_at(at_, buffer);
  at_ += count;
  return count;
}

void StreamInput::skip(std::uint64_t count) {
  std::array<std::byte, 16 * io::KiB> unwanted;
  while (count > 0) {
    const auto piece = std::span(unwanted).first(std::min<std::uint64_t>(count, unwanted.size()));
    const std::size_t got = read(piece);
    if (got < piece.size()) return;
    count -= got;
  }
}

void Walker::fail(const std::string& text) const { throw io::Error::format(path_, begun_, text); }

void Walker::skip_to(std::uint64_t position) {
  input_.skip(position - position_);
  position_ = position;
}

bool Walker::read_block(std::span<std::byte> block) {
  const std::size_t count = input_.read(block);
  position_ += count;
  return count == block.size();
}

// What follows a header, and its padding.
std::string Walker::read_text(std::uint64_t size) {
  std::string text(size, '\0');
  if (!read_block(std::as_writable_bytes(std::span(text)))) {
    fail("the tar archive ends in a member's description: it was cut short");
  }
  skip_to(io::align_up(position_, block_bytes));
  return text;
}

std::optional<Member> Walker::next() {
  skip_to(next_);
  begun_ = position_;
  data_ = {};
  Description description;
  while (true) {
    std::array<std::byte, block_bytes> block{};
    const std::uint64_t at = position_;
    if (!read_block(block)) {
      begun_ = at;
      fail("the tar archive ends here without its end mark: it was cut short");
    }
    if (io::is_zero(block)) return std::nullopt;
    auto header = parse_header(block);
    if (!header) {
      begun_ = at;
      fail("here should be the header of a tar member: it is damaged");
    }
    if (auto member = take(std::move(*header), description)) return member;
  }
}

// Nothing: it describes the next member, or is none with content.
std::optional<Member> Walker::take(Header header, Description& description) {
  if (header.type == 'L' || header.type == 'x') {
    const std::uint64_t longest = header.type == 'L' ? longest_name : longest_pax;
    if (header.size > longest)
      fail(fmt::format("a description of {} bytes is too long", header.size));
    std::string text = read_text(header.size);
    if (header.type == 'L') {
      description.long_name = text.substr(0, text.find('\0'));
    } else if (!parse_pax(text, description.pax)) {
      fail("what pax says of the member here is damaged, or too long");
    }
    return std::nullopt;
  }
  if (header.type == 'M') fail("is one part of a tar archive of several; put them together first");
  if (is_file(header.type)) {
    Member member = member_of(std::move(header), description);
    description = {};
    return member;
  }
  if (header.type != 'g' && header.type != 'K') {
    header.size = description.pax.size.value_or(header.size);
    description = {};
    begun_ = position_ + (has_data(header.type) ? io::align_up(header.size, block_bytes) : 0);
  }
  if (has_data(header.type)) skip_to(position_ + io::align_up(header.size, block_bytes));
  return std::nullopt;
}

Member Walker::member_of(Header header, Description& description) {
  PaxRecords& pax = description.pax;
  Member member;
  member.listed_at = begun_;
  member.name = !pax.sparse_name.empty()         ? pax.sparse_name
                : !pax.name.empty()              ? pax.name
                : !description.long_name.empty() ? description.long_name
                                                 : header.name;
  read_old_segments(header);
  const std::uint64_t stored = pax.size.value_or(header.size);
  data_ = {position_, stored};
  next_ = position_ + io::align_up(stored, block_bytes);
  member.size = stored;
  if (header.type == 'S') {
    member.sparse = true;
    member.size = header.real_size;
    member.segments = std::move(header.segments);
  } else if (pax.sparse) {
    member.sparse = true;
    member.size = pax.real_size.value_or(stored);
    member.segments = std::move(pax.segments);
    if (pax.map_in_data) read_map(member);
  }
  member.data = data_;
  if (member.sparse) check_segments(member);
  return member;
}

void Walker::read_old_segments(Header& header) {
  bool goes_on = header.segments_go_on;
  while (goes_on) {
    std::array<std::byte, block_bytes> block{};
    if (!read_block(block) || !parse_more_segments(block, header.segments, goes_on)) {
      fail("the map of a sparse member is damaged, or too long");
    }
  }
}

// pax 1.0: a count, then offsets and lengths, a line each, up to a whole block.
void Walker::read_map(Member& member) {
  std::string line;
  std::vector<std::uint64_t> numbers;
  std::uint64_t wanted = 1;
  member.segments.clear();
  while (numbers.size() < wanted) {
    std::array<std::byte, block_bytes> block{};
    if (position_ + block_bytes > data_.end() || !read_block(block)) {
      fail("the map of a sparse member goes past its end");
    }
    for (const std::byte byte : block) {
      if (numbers.size() == wanted) break;
      if (byte != std::byte{'\n'}) {
        line += static_cast<char>(byte);
        if (line.size() <= 20) continue;
      }
      const auto number = parse_decimal(line);
      line.clear();
      if (!number || (numbers.empty() && *number > most_segments)) {
        fail("the map of a sparse member is damaged, or too long");
      }
      if (numbers.empty()) wanted = 1 + 2 * *number;
      numbers.push_back(*number);
    }
  }
  for (std::size_t i = 1; i + 1 < numbers.size(); i += 2) {
    member.segments.push_back({numbers[i], numbers[i + 1]});
  }
  data_ = io::range_between(position_, data_.end());
}

void Walker::check_segments(Member& member) const {
  std::uint64_t end = 0;
  std::uint64_t stored = 0;
  for (const io::ByteRange& segment : member.segments) {
    if (segment.offset < end || segment.offset > member.size ||
        segment.length > member.size - segment.offset) {
      fail(
          fmt::format("the part of {} bytes at {} of a sparse member of {} bytes is before its "
                      "place or past the end",
                      segment.length, segment.offset, member.size));
    }
    end = segment.end();
    stored += segment.length;
  }
  if (stored != member.data.length) {
    fail(fmt::format("a sparse member has {} bytes, but its map has {}", member.data.length,
                     stored));
  }
  std::erase_if(member.segments, [](const io::ByteRange& segment) { return segment.empty(); });
}

std::size_t Walker::read_data(std::span<std::byte> buffer) {
  const std::uint64_t left = data_.end() - std::min(position_, data_.end());
  const auto wanted = buffer.first(std::min<std::uint64_t>(buffer.size(), left));
  if (!read_block(wanted)) {
    throw io::Error::format(path_, position_,
                            "the tar archive ends inside a member: it was cut short");
  }
  return wanted.size();
}

std::vector<Member> list_members(const io::File& file, archives::MemberList& list) {
  const std::uint64_t size = file.size();
  FileInput input(file, 0);
  Walker walker(input, file.path());
  std::vector<Member> members;
  while (auto member = walker.next()) {
    if (member->data.offset > size || member->data.length > size - member->data.offset) {
      throw io::Error::format(
          file.path(), member->listed_at,
          fmt::format(
              "a member of {} bytes goes past the end of the tar archive ({} bytes): it was "
              "cut short",
              member->data.length, size));
    }
    list.add(member->name, member->size);
    member->segments = {};
    members.push_back(std::move(*member));
  }
  return members;
}

Member read_member(const io::File& file, const Member& listed) {
  FileInput input(file, listed.listed_at);
  auto member = Walker(input, file.path(), listed.listed_at).next();
  if (!member || member->name != listed.name || member->data != listed.data) {
    throw io::Error::format(file.path(), listed.listed_at, "is not what it was; was it changed?");
  }
  return std::move(*member);
}

}  // namespace formats::tar
