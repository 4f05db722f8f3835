#include "imgtool/virt/attach_job.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/jobs/device_words.hpp"
#include "imgtool/terminal/shell_word.hpp"
#include "imgtool/virt/virt_report.hpp"
#include "io/error.hpp"

namespace imgtool::virt {
namespace {

// What libvirt's error means for a disk, where its text does not say what to do.
std::string attach_hint(const LibvirtError& error, const std::string& domain) {
  const auto says = [&](std::string_view text) {
    return error.text().find(text) != std::string::npos;
  };
  if (says("No more available PCI slots")) {
    return "--config makes room at the next start; a virtio-scsi controller takes disks without "
           "a slot";
  }
  if (says("Cannot access storage file")) {
    return "QEMU's user has to reach the file: look at the permissions of the folders above it";
  }
  if (says("Unknown driver")) {
    return "QEMU on that host lacks the driver: Debian has more of them in qemu-block-extra";
  }
  if (says(" lock")) return "another process has the image open";
  if (error.code() == error_code::operation_invalid && says("not running")) {
    return "without --live it is attached to the configuration";
  }
  if (error.code() == error_code::operation_invalid && says("transient")) {
    return fmt::format("{} has no configuration that lasts: leave out --config", domain);
  }
  return "";
}

bool is_same_storage(const Identity& a, const Identity& b) {
  return a.file ? a.file == b.file : !b.file && !a.name.empty() && a.name == b.name;
}

}  // namespace

AttachJob::AttachJob(const Connection& connection, const HostStorage& host, AttachOptions options)
    : connection_(connection),
      host_(host),
      options_(std::move(options)),
      domain_(connection.domain(options_.domain)) {
  source_ = check_source(connection_, host_, options_.source,
                         {options_.format, options_.follow_references, options_.readonly});
  notes_ = source_.notes;
  look_at_domains();
  refuse_saved_state();
  choose_halves();
  decide("source", source_.source.label(),
         fmt::format("{} of {}", to_string(source_.source.type), options_.source));
  decide("format", source_.format, source_.format_reason);
  for (const std::string& path : source_.chain) decide("below it", path, "the image names it");
  const DiskUse* own = find_own_use();
  check_conflicts(own);
  if (own != nullptr) {
    complete(*own);
    return;
  }
  plan_.source = source_.source;
  plan_.format = source_.format;
  plan_.readonly = options_.readonly;
  plan_.shareable = options_.shared;
  choose_bus_and_target();
  choose_caching();
  choose_serial();
  xml_ = disk_xml(plan_);
}

void AttachJob::decide(std::string what, std::string value, std::string why) {
  decisions_.push_back({std::move(what), std::move(value), std::move(why)});
}

// --- what there is ------------------------------------------------------------------------

void AttachJob::look_at_domains() {
  domains_ = read_all_halves(connection_);
  for (const DomainHalves& domain : domains_) {
    if (domain.uuid == domain_.uuid()) ours_ = &domain;
  }
  if (ours_ == nullptr || (!ours_->live && !ours_->config)) {  // it came or went a moment ago
    throw io::Error(io::ErrorKind::refused, options_.domain, "is not in libvirt's list of domains");
  }
  uses_ = collect_uses(domains_, host_);
  notes_.insert(notes_.end(), uses_.notes.begin(), uses_.notes.end());
}

void AttachJob::choose_halves() {
  std::string why = "as asked for";
  if (options_.live || options_.config) {
    halves_ = {options_.live, options_.config};
  } else if (ours_->active && ours_->persistent) {
    halves_ = {true, true};
    why = "the domain is running";
  } else if (ours_->active) {
    halves_ = {true, false};
    why = "the domain is running and has no configuration that lasts";
    notes_.push_back(fmt::format("{} is transient: the disk is gone when it ends", ours_->name));
  } else {
    halves_ = {false, true};
    why = "the domain is shut off";
  }
  decide("attached to",
         halves_.live ? (halves_.config ? "guest and configuration" : "guest") : "configuration",
         why);
  if (!halves_.live || !ours_->active) return;
  const DomainState state = domain_.state();
  if (state == DomainState::crashed || state == DomainState::suspended ||
      state == DomainState::shutting_down) {
    throw io::Error::refusal(ours_->name, fmt::format("is {}: a disk can be attached when it runs, "
                                                      "or with --config for its next start",
                                                      to_string(state)));
  }
}

const DomainLayout& AttachJob::layout() const {
  return ours_->live ? *ours_->live : *ours_->config;
}

const DiskUse* AttachJob::find_own_use() const {
  for (const DiskUse& use : uses_.uses) {
    if (use.domain == ours_->name && use.role == Role::disk &&
        is_same_storage(use.identity, source_.identity)) {
      return &use;
    }
  }
  return nullptr;
}

// --- what must not be ---------------------------------------------------------------------

// The next start goes on from it, and the guest would not have the disk.
void AttachJob::refuse_saved_state() const {
  if (!ours_->saved) return;
  throw io::Error::refusal(ours_->name, "has a saved state, which no disk can be added to: " +
                                            saved_state_advice(ours_->name));
}

void AttachJob::check_conflicts(const DiskUse* own) {
  IntendedUse intended{source_.identity, {}, options_.readonly, options_.shared};
  intended.chain.reserve(source_.chain.size());
  for (const std::string& path : source_.chain) intended.chain.push_back(host_.identity(path));
  std::vector<DiskUse> conflicts = find_conflicts(intended, uses_.uses, host_);
  // That the domain has the disk already, with what is below it, is another answer.
  std::erase_if(conflicts, [&](const DiskUse& use) {
    return own != nullptr && use.domain == own->domain && use.target == own->target;
  });
  if (!conflicts.empty()) {
    const bool could_share = std::all_of(conflicts.begin(), conflicts.end(),
                                         [](const DiskUse& use) { return use.role == Role::disk; });
    throw Conflict(options_.source, conflicts,
                   could_share ? "detach it there first, or let both have it --readonly, or both "
                                 "--shared"
                               : "detach it there first");
  }
  if (options_.force || !source_.local_file) return;
  check_host(source_.identity, !options_.readonly);
  for (const Identity& below : intended.chain) check_host(below, false);
}

// `writes`: what the guest will do; one that only reads bears others that do.
void AttachJob::check_host(const Identity& image, bool writes) const {
  const std::string& path = image.path;
  // A guest of ours has it open, and that was found to be right.
  const bool explained = std::any_of(uses_.uses.begin(), uses_.uses.end(), [&](const DiskUse& use) {
    return use.halves.live && host_.share(use.identity, image);
  });
  std::vector<io::DeviceUse> uses = host_.uses(path);
  const bool is_read = std::erase_if(uses, [&](const io::DeviceUse& use) {
                         return !writes && host_.only_reads(use);
                       }) > 0;
  std::erase_if(uses, [&](const io::DeviceUse& use) {
    return explained && use.kind == io::DeviceUseKind::open_for_writing;
  });
  const auto refuse = [&](const std::string& why) {
    const bool below = image.file != source_.identity.file;
    throw io::Error::refusal(
        options_.source,
        fmt::format("{} {} (--force attaches it all the same)",
                    below ? fmt::format("lies over {}, which is", path) : "is", why));
  };
  if (!uses.empty()) {
    const io::DeviceUse& use = uses.front();
    refuse(remedy_of(use).empty() ? phrase_of(use)
                                  : fmt::format("{}: {}", phrase_of(use), remedy_of(use)));
  }
  if (image.file && image.file->block_device && !is_read && held_by_kernel(path)) {
    refuse("in use by the kernel of this host");
  }
  if (!explained && locked_by_qemu(path, writes)) {
    refuse("open in a running QEMU that this libvirt does not know");
  }
}

// --- what is there already ----------------------------------------------------------------------

// The disk is there: in both halves, or in one that it is copied from.
void AttachJob::complete(const DiskUse& own) {
  const bool in_live = !halves_.live || own.halves.live;
  const bool in_config = !halves_.config || own.halves.config;
  already_ = in_live && in_config;
  const auto& half = own.halves.config ? ours_->config : ours_->live;
  const DomainDisk& disk = *half->find_target(own.target);
  const std::string where =
      fmt::format("is attached to {} already, as {}", ours_->name, own.target);
  if (!options_.if_absent) {
    throw Conflict(options_.source, {own},
                   already_ ? "--if-absent takes that for done"
                            : "--if-absent also attaches it where it is missing");
  }
  refuse_differences(own, where);
  plan_.source = disk.image.source;
  plan_.format = disk.image.format;
  plan_.target = disk.target;
  plan_.bus = disk.bus;
  plan_.serial = disk.serial;
  plan_.readonly = disk.readonly;
  plan_.shareable = disk.shareable;
  xml_ = for_other_half(disk.xml);
  decide("target", plan_.target, "the disk is there already");
  if (already_) return;
  completes_ = true;
  halves_ = {halves_.live && !own.halves.live, halves_.config && !own.halves.config};
  const auto& other = halves_.config ? ours_->config : ours_->live;
  if (other && other->find_target(own.target) != nullptr) {
    throw io::Error::refusal(options_.source,
                             fmt::format("{}, in {} only; in {} that is another disk", where,
                                         halves_.config ? "the guest" : "the configuration",
                                         halves_.config ? "the configuration" : "the guest"));
  }
}

// What was asked for, and what the disk is otherwise in a half that has it.
void AttachJob::refuse_differences(const DiskUse& own, const std::string& where) const {
  std::vector<std::string> found;
  const auto compare = [&](const std::string& what, const std::string& is,
                           const std::optional<std::string>& wanted) {
    if (!wanted || *wanted == "auto" || *wanted == is) return;
    std::string text = fmt::format("{}{}, not {}", what, is.empty() ? "unset" : is, *wanted);
    if (std::find(found.begin(), found.end(), text) == found.end()) found.push_back(text);
  };
  const auto access = [](bool readonly) { return readonly ? "read-only" : "writable"; };
  const auto sharing = [](bool shared) { return shared ? "shared" : "for itself"; };
  for (const auto* half : {&ours_->config, &ours_->live}) {
    const DomainDisk* disk = *half ? (*half)->find_target(own.target) : nullptr;
    if (disk == nullptr || !is_same_storage(host_.identity(disk->image.source), own.identity)) {
      continue;
    }
    compare("", disk->image.format.empty() ? "raw" : disk->image.format, source_.format);
    compare("", access(disk->readonly), access(options_.readonly));
    compare("", sharing(disk->shareable), sharing(options_.shared));
    compare("target ", disk->target, options_.target);
    compare("bus ", disk->bus, options_.bus);
    compare("serial ", disk->serial, options_.serial);
    compare("cache ", disk->cache, options_.cache);
    compare("io ", disk->io, options_.io);
  }
  if (found.empty()) return;
  throw io::Error::refusal(options_.source, fmt::format("{}, but differently ({}): detach it first",
                                                        where, fmt::join(found, "; ")));
}

// --- what is done -------------------------------------------------------------------------

void AttachJob::run() {
  if (!already_) attach();
  if (options_.start && !ours_->active) start_domain();
}

void AttachJob::attach() {
  try {
    domain_.attach(xml_, halves_);
  } catch (const LibvirtError& error) {
    if (error.code() == error_code::no_support && halves_.config && !options_.live) {
      redefine();
      return;
    }
    if (error.code() == error_code::no_support && completes_ && !options_.live) {
      already_ = true;
      say_not_plugged_in();
      return;
    }
    if (!connection_.is_alive()) {
      throw error.with_hint(
          fmt::format("the connection broke, so it is not known whether the disk "
                      "was attached: imgtool disks {} tells",
                      shell_word(ours_->name)));
    }
    throw error.with_hint(attach_hint(error, ours_->name));
  }
}

// For drivers that cannot attach devices: what the configuration is without it, and one disk more.
void AttachJob::redefine() {
  connection_.define(with_disk(domain_.inactive_xml(true), xml_));
  redefined_ = true;
  decide("way", "redefined", "this driver of libvirt cannot attach devices");
  if (halves_.live) {
    halves_.live = false;
    say_not_plugged_in();
  }
}

void AttachJob::say_not_plugged_in() {
  notes_.push_back(fmt::format(
      "the running {} sees the disk after its next start: this driver of libvirt cannot "
      "plug it in",
      ours_->name));
}

void AttachJob::start_domain() {
  try {
    domain_.start();
    started_ = true;
  } catch (const LibvirtError& error) {
    if (already_) throw;
    try {
      if (guest_has_disk()) {
        notes_.push_back(fmt::format("{} was started by another program meanwhile", ours_->name));
        return;
      }
      undo();
    } catch (const LibvirtError& second) {
      throw error.with_hint(
          fmt::format("the disk {} stays attached, since taking it off failed too: {}",
                      plan_.target, second.text()));
    }
    throw error.with_hint("it did not start, so the disk was taken off again");
  }
}

bool AttachJob::guest_has_disk() const {
  if (!domain_.is_active()) return false;
  const DomainLayout live = read_domain(domain_.live_xml());
  const DomainDisk* disk = live.find_target(plan_.target);
  return disk != nullptr && is_same_storage(host_.identity(disk->image.source), source_.identity);
}

void AttachJob::undo() const {
  if (redefined_) {
    connection_.define(without_disk(domain_.inactive_xml(true), plan_.target));
  } else {
    domain_.detach(xml_, {.config = true});
  }
}

}  // namespace imgtool::virt
