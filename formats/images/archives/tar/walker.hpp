// The members of a tar archive, front to back: of a file, where what lies between them is passed
// over, or of a stream, where it is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/archives/member_choice.hpp"
#include "formats/images/archives/tar/header.hpp"
#include "io/byte_stream.hpp"
#include "io/file.hpp"

namespace formats::tar {

// What a walk reads.
class Input {
 public:
  Input() = default;
  Input(const Input&) = delete;
  Input& operator=(const Input&) = delete;
  virtual ~Input() = default;
  // Fills `buffer` unless the archive ends first; gives the count. Throws Error.
  virtual std::size_t read(std::span<std::byte> buffer) = 0;
  // Goes on `count` bytes further. Behind the end, reading gives nothing.
  virtual void skip(std::uint64_t count) = 0;
};

class FileInput final : public Input {
 public:
  // `file` outlives it.
  FileInput(const io::File& file, std::uint64_t begin) : file_(file), at_(begin) {}
  std::size_t read(std::span<std::byte> buffer) override;
  void skip(std::uint64_t count) override { at_ += count; }

 private:
  const io::File& file_;
  std::uint64_t at_;
};

class StreamInput final : public Input {
 public:
  // `stream` outlives it.
  explicit StreamInput(io::ByteStream& stream) : stream_(stream) {}
  std::size_t read(std::span<std::byte> buffer) override { return io::read_fully(stream_, buffer); }
  void skip(std::uint64_t count) override;

 private:
  io::ByteStream& stream_;
};

// A regular file in the archive.
struct Member {
  std::string name;
  std::uint64_t size = 0;  // of the content
  io::ByteRange data;      // what is stored of it, in the archive
  bool sparse = false;     // only `segments` of the content are stored, one after another
  std::vector<io::ByteRange> segments;  // ascending, apart, not empty; inside `size`
  std::uint64_t listed_at = 0;          // where what describes it begins in the archive
};

class Walker {
 public:
  // `path` is for messages; `begin` is where the input is in the archive. Both outlive it.
  Walker(Input& input, const std::string& path, std::uint64_t begin = 0)
      : input_(input), path_(path), position_(begin), next_(begin) {}

  // The next one; nothing at the archive's end. Throws Error.
  std::optional<Member> next();

  // Some of what is stored of the member that was given last; 0 at its end.
  std::size_t read_data(std::span<std::byte> buffer);

 private:
  struct Description {
    std::string long_name;
    PaxRecords pax;
  };

  void skip_to(std::uint64_t position);
  [[nodiscard]] bool read_block(std::span<std::byte> block);
  [[nodiscard]] std::string read_text(std::uint64_t size);
  [[nodiscard]] std::optional<Member> take(Header header, Description& description);
  [[nodiscard]] Member member_of(Header header, Description& description);
  void read_old_segments(Header& header);
  void read_map(Member& member);
  void check_segments(Member& member) const;
  [[noreturn]] void fail(const std::string& text) const;

  Input& input_;
  const std::string& path_;
  std::uint64_t position_;
  std::uint64_t next_;       // where the next header is
  std::uint64_t begun_ = 0;  // where the description of this member begins
  io::ByteRange data_{};     // of the member that was given last
};

// All members of an archive in a file, without their segments; `list` gets the same ones. Throws
// Error.
[[nodiscard]] std::vector<Member> list_members(const io::File& file, archives::MemberList& list);

// One of them, with its segments.
[[nodiscard]] Member read_member(const io::File& file, const Member& listed);

}  // namespace formats::tar
