// A ring that carries requests out on real files, and answers one of them with an error or does
// something else in its place: what a job must survive.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "tests/io/scripted_ring.hpp"

namespace imgtool {

class FailingRing {
 public:
  using Kind = io::Request::Kind;

  // At the `nth` request (from 1) of this kind: what `instead` gives is its result; nothing: it is
  // carried out.
  FailingRing(Kind kind, unsigned nth, std::function<std::optional<std::int64_t>()> instead)
      : ring_([=, this](const io::Request& request) -> std::optional<std::int64_t> {
          if (request.kind != kind || ++seen_ != nth) return std::nullopt;
          return instead();
        }) {}
  FailingRing(Kind kind, unsigned nth, int error_number)
      : FailingRing(kind, nth, [=] { return std::optional<std::int64_t>(-error_number); }) {}
  FailingRing() : FailingRing(Kind::nop, 0, 0) {}

  [[nodiscard]] io::Ring& ring() { return ring_; }
  [[nodiscard]] const std::vector<io::Request>& requests() const { return ring_.requests(); }
  // Whether there were as many: false once a loop over all of them has come to its end.
  [[nodiscard]] unsigned seen() const { return seen_; }

 private:
  unsigned seen_ = 0;
  io::ScriptedRing ring_;
};

}  // namespace imgtool
