// Reads a file front to back beside those who read it in any order, to say at the end whether it is
// what a checksum over all of it says. One thread, from the start on.
#pragma once

#include <atomic>
#include <exception>
#include <memory>
#include <thread>

#include "formats/images/archives/member_stream.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::archives {

class BackgroundCheck {
 public:
  // `stop` may be null, and else outlives it.
  BackgroundCheck(io::File file, std::unique_ptr<ContentCheck> check, const io::StopFlag* stop);
  BackgroundCheck(const BackgroundCheck&) = delete;
  BackgroundCheck& operator=(const BackgroundCheck&) = delete;
  ~BackgroundCheck();

  // Waits until all is read. Throws what there is to throw, each time.
  void finish();

 private:
  void run();

  io::File file_;
  std::unique_ptr<ContentCheck> check_;
  const io::StopFlag* stop_;
  std::atomic<bool> given_up_ = false;
  std::exception_ptr error_;
  std::thread thread_;  // the last one: it uses the others
};

}  // namespace formats::archives
