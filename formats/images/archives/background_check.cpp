#include "formats/images/archives/background_check.hpp"

#include <utility>
#include <vector>

#include "io/byte_range.hpp"

namespace formats::archives {

BackgroundCheck::BackgroundCheck(io::File file, std::unique_ptr<ContentCheck> check,
                                 const io::StopFlag* stop)
    : file_(std::move(file)), check_(std::move(check)), stop_(stop), thread_([this] { run(); }) {}

BackgroundCheck::~BackgroundCheck() {
  given_up_ = true;
  if (thread_.joinable()) thread_.join();
}

void BackgroundCheck::finish() {
  if (thread_.joinable()) thread_.join();
  if (error_) std::rethrow_exception(error_);
}

void BackgroundCheck::run() {
  try {
    std::vector<std::byte> buffer(io::MiB);
    std::uint64_t at = 0;
    while (!given_up_) {
      if (stop_ != nullptr) io::throw_if_stopped(*stop_, file_.path());
      const std::size_t count = file_.read_at(at, buffer);
      if (count == 0) break;
      check_->update(std::span(buffer).first(count));
      at += count;
    }
    if (!given_up_) check_->finish();
  } catch (...) {
    error_ = std::current_exception();
  }
}

}  // namespace formats::archives
