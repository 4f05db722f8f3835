#include "formats/images/archives/member_stream.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32.hpp"
#include "io/byte_range.hpp"
#include "io/error.hpp"

namespace formats::archives {
namespace {

class Crc32Check final : public ContentCheck {
 public:
  Crc32Check(std::uint32_t wanted, std::string path, std::uint64_t offset)
      : wanted_(wanted), path_(std::move(path)), offset_(offset) {}

  void update(std::span<const std::byte> bytes) override { value_ = crc32(value_, bytes); }

  void finish() override {
    if (checksum_fits(wanted_, value_)) return;
    throw io::Error::format(
        path_, offset_,
        fmt::format("the CRC-32 of this member should be {:08x}, but is {:08x}: it is damaged",
                    wanted_, value_));
  }

 private:
  std::uint32_t wanted_;
  std::string path_;
  std::uint64_t offset_;
  std::uint32_t value_ = 0;
};

}  // namespace

std::unique_ptr<ContentCheck> make_crc32_check(std::uint32_t wanted, std::string path,
                                               std::uint64_t offset) {
  return std::make_unique<Crc32Check>(wanted, std::move(path), offset);
}

std::size_t MemberStream::read(std::span<std::byte> buffer) {
  if (ended_) return 0;
  const std::size_t wanted = std::min<std::uint64_t>(buffer.size(), size_ - done_);
  if (wanted == 0) {
    finish();
    return 0;
  }
  const std::size_t count = content_->read(buffer.first(wanted));
  if (count == 0) {
    throw io::Error(
        io::ErrorKind::format, name_,
        fmt::format("ends after {} of the {} bytes that the archive says it has", done_, size_));
  }
  if (check_) check_->update(buffer.first(count));
  done_ += count;
  return count;
}

// The content's own end may have a checksum, too.
void MemberStream::finish() {
  std::array<std::byte, 1> more{};
  if (content_->read(more) != 0) {
    throw io::Error(io::ErrorKind::format, name_,
                    fmt::format("has more than the {} bytes that the archive says it has", size_));
  }
  if (check_) check_->finish();
  ended_ = true;
}

}  // namespace formats::archives
