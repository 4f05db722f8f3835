#include "formats/images/streams/decoder.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "io/byte_range.hpp"
#include "io/error.hpp"

namespace formats::streams {
namespace {
constexpr std::size_t buffer_size = 256 * io::KiB;
}

Decoder::Decoder(std::unique_ptr<Codec> codec, std::unique_ptr<io::ByteStream> input,
                 std::string name)
    : codec_(std::move(codec)),
      input_(std::move(input)),
      name_(std::move(name)),
      buffer_(buffer_size) {}

void Decoder::fail(const std::string& fault) const {
  throw io::Error::format(name_, position_, fault);
}

std::span<const std::byte> Decoder::fetch(std::size_t wanted) {
  if (end_ - begin_ < wanted && !input_ended_) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  while (end_ - begin_ < wanted && !input_ended_) {
    const std::size_t count = input_->read(std::span(buffer_).subspan(end_));
    input_ended_ = count == 0;
    end_ += count;
  }
  return rest();
}

// At the end of the input there is no further member.
void Decoder::begin_member() {
  const auto next = fetch(Codec::most_magic_bytes);
  if (next.empty() && any_member_) {
    ended_ = true;
    const std::string fault = codec_->end();
    if (!fault.empty()) fail(fmt::format("the {} data {}", codec_->name(), fault));
    return;
  }
  if (!codec_->can_begin(next)) {
    fail(any_member_
             ? fmt::format("the {} data ends here, but something follows that is none; cut it off, "
                           "or take the file as it is with -f raw",
                           codec_->name())
             : fmt::format("is no {} data", codec_->name()));
  }
  codec_->begin(next);
  in_member_ = any_member_ = true;
}

std::size_t Decoder::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size() && !ended_) {
    if (!in_member_) {
      begin_member();
      continue;
    }
    const auto in = fetch(1);
    const Codec::Step step = codec_->step(in, out.subspan(done));
    begin_ += step.consumed;
    position_ += step.consumed;
    done += step.produced;
    if (!step.fault.empty()) fail(fmt::format("the {} data {}", codec_->name(), step.fault));
    if (step.member_ended) {
      in_member_ = false;
    } else if (step.consumed == 0 && step.produced == 0 && in.empty()) {
      fail(fmt::format("the {} data ends here, before it is complete: it was cut short",
                       codec_->name()));
    }
  }
  return done;
}

}  // namespace formats::streams
