// What AttachJob decides where the user did not: bus, target, caching, serial number.
#include <algorithm>
#include <cctype>
#include <span>

#include <fmt/format.h>

#include "imgtool/terminal/usage_error.hpp"
#include "imgtool/virt/attach_job.hpp"
#include "imgtool/virt/bus_choice.hpp"
#include "imgtool/virt/target_name.hpp"
#include "io/digest.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

std::size_t longest_serial(const std::string& bus) { return bus == "scsi" ? 36 : 20; }

void check_serial(const std::string& serial, const std::string& bus) {
  const bool plain = std::all_of(serial.begin(), serial.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
  if (serial.empty() || !plain) {
    throw UsageError(
        fmt::format("attach: --serial: '{}' has to be of letters, digits, - _ and .", serial));
  }
  if (serial.size() > longest_serial(bus)) {
    throw UsageError(
        fmt::format("attach: --serial: '{}' is longer than the {} characters that a "
                    "guest sees of a {} disk",
                    serial, longest_serial(bus), bus));
  }
}

std::string made_up_serial(const std::string& seed) {
  return fmt::format("imgtool-{:08x}", io::xxh3(std::as_bytes(std::span(seed))) >> 32);
}

}  // namespace

void AttachJob::choose_bus_and_target() {
  BusChoice choice{options_.bus, "--bus"};
  if (options_.bus == "auto" && options_.target) {
    const std::string prefix = options_.target->substr(0, 2);
    choice = {prefix == "hd"   ? "ide"
              : prefix == "sd" ? (layout().virtio_scsi ? "scsi" : "sata")
                               : "virtio",
              "--target " + *options_.target};
  } else if (options_.bus == "auto") {
    choice = choose_bus(layout(), halves_);
  }
  plan_.bus = choice.bus;
  if (halves_.live && !can_hotplug(plan_.bus)) {
    throw io::Error::refusal(
        ours_->name,
        fmt::format("is running, and no disk on the bus {} can be plugged in then ({}): "
                    "--config attaches it for the next start, --bus chooses another",
                    plan_.bus, choice.reason));
  }
  const DomainLayout* live = ours_->live ? &*ours_->live : nullptr;
  const DomainLayout* config = ours_->config ? &*ours_->config : nullptr;
  decide("bus", plan_.bus, choice.reason);
  if (!options_.target) {
    const auto name = free_target(plan_.bus, live, config);
    if (!name)
      throw io::Error::refusal(ours_->name,
                               fmt::format("has no place left on the bus {}", plan_.bus));
    plan_.target = *name;
    decide("target", plan_.target, "the first that is free in guest and configuration");
    return;
  }
  if (!suits_bus(*options_.target, plan_.bus)) {
    throw UsageError(fmt::format(
        "attach: --target: '{}' is no name for a disk on the bus {} ({}a, {}b ...)",
        *options_.target, plan_.bus, target_prefix(plan_.bus), target_prefix(plan_.bus)));
  }
  for (const DomainLayout* half : {live, config}) {
    const DomainDisk* taken = half != nullptr ? half->find_target(*options_.target) : nullptr;
    if (taken != nullptr) {
      throw io::Error::refusal(
          ours_->name,
          fmt::format("has a disk {} already{}: {}", *options_.target,
                      half == live ? "" : " in its configuration", taken->image.source.label()));
    }
  }
  plan_.target = *options_.target;
  decide("target", plan_.target, "--target");
}

void AttachJob::choose_caching() {
  const bool network = source_.source.type == SourceType::network;
  const bool any_direct = source_.direct || network;
  plan_.cache = options_.cache;
  std::string why = "--cache";
  if (options_.cache == "auto") {
    plan_.cache = any_direct ? "none" : "writeback";
    why = any_direct ? "the guest's flushes decide, and no page is cached twice"
                     : "no O_DIRECT there, or not known";
  }
  if (options_.shared && (plan_.cache != "none" || plan_.format != "raw")) {
    throw io::Error::refusal(options_.source, fmt::format("cannot be shared: that takes raw and "
                                                          "cache none, and this is {} and cache {}",
                                                          plan_.format, plan_.cache));
  }
  decide("cache", plan_.cache, why);
  const bool native = plan_.cache == "none" || plan_.cache == "directsync";
  plan_.io = options_.io;
  if (options_.io == "auto") {
    plan_.io = network ? "" : native ? "native" : "threads";
  } else if (options_.io == "native" && !native) {
    throw UsageError("attach: --io native needs --cache none or directsync");
  } else if (options_.io == "io_uring" && !connection_.has_io_uring()) {
    throw io::Error(io::ErrorKind::unsupported, options_.source,
                    "--io io_uring takes libvirt 6.3 and QEMU 5.0");
  }
  if (!plan_.io.empty()) decide("io", plan_.io, options_.io == "auto" ? "suits the cache" : "--io");
  if (plan_.readonly) return;
  plan_.discard = "unmap";
  plan_.detect_zeroes = "unmap";
  decide("discard", "unmap", "what the guest gives back is given back here");
}

bool AttachJob::has_serial(const std::string& serial) const {
  for (const auto* half : {&ours_->live, &ours_->config}) {
    if (!*half) continue;
    for (const DomainDisk& disk : (*half)->disks) {
      if (disk.serial == serial) return true;
    }
  }
  return false;
}

void AttachJob::choose_serial() {
  if (options_.serial) {
    check_serial(*options_.serial, plan_.bus);
    if (has_serial(*options_.serial)) {
      throw io::Error::refusal(
          ours_->name, fmt::format("has a disk with the serial {} already", *options_.serial));
    }
    plan_.serial = *options_.serial;
    decide("serial", plan_.serial, "--serial");
    return;
  }
  std::string seed = source_.source.label();
  do {
    plan_.serial = made_up_serial(seed);
    seed += "+";
  } while (has_serial(plan_.serial));
  decide("serial", plan_.serial, "made from the source's name");
}

}  // namespace imgtool::virt
