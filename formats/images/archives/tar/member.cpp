#include "formats/images/archives/tar/member.hpp"

#include <algorithm>

#include "formats/images/streams/file_stream.hpp"

namespace formats::tar {

std::size_t SparseStream::read(std::span<std::byte> buffer) {
  const std::uint64_t left = size_ - at_;
  buffer = buffer.first(std::min<std::uint64_t>(buffer.size(), left));
  if (buffer.empty()) return 0;
  const bool any = next_ < segments_.size();
  std::size_t count = buffer.size();
  if (any && at_ >= segments_[next_].offset) {
    count = data_->read(buffer.first(std::min<std::uint64_t>(count, segments_[next_].end() - at_)));
  } else {
    if (any) count = std::min<std::uint64_t>(count, segments_[next_].offset - at_);
    std::fill_n(buffer.begin(), count, std::byte{0});
  }
  at_ += count;
  if (any && at_ == segments_[next_].end()) ++next_;
  return count;
}

std::unique_ptr<io::ByteStream> open_member(const io::File& file, const Member& member,
                                            const std::string& name, const io::StopFlag* stop) {
  std::unique_ptr<io::ByteStream> data =
      std::make_unique<streams::FileStream>(file.window(member.data, name), stop);
  if (!member.sparse) return data;
  return std::make_unique<SparseStream>(std::move(data), member.segments, member.size);
}

}  // namespace formats::tar
