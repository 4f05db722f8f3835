// imgtool detach --domain NAME --target DEV
#include <fmt/format.h>

#include "imgtool/command.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/shell_word.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "imgtool/virt/disk_xml.hpp"
#include "imgtool/virt/source_check.hpp"
#include "imgtool/virt/virt_report.hpp"

namespace imgtool {
namespace {

using virt::DomainDisk;
using virt::DomainLayout;
using virt::Halves;
using virt::LibvirtError;
using virt::RemovalWatch;

struct DetachOptions {
  virt::DomainName domain;
  std::optional<std::string> uri;
  std::optional<std::string> target;
  std::optional<std::string> source;
  bool live = false;
  bool config = false;
  bool if_present = false;
  unsigned timeout_s = 30;
};

void describe_detach(CommandLine& line, DetachOptions& o) {
  virt::domain_option(line, o.domain);
  virt::connect_option(line, o.uri);
  line.option("target", text_into(o.target, "DEV"), "the disk by its name in the domain: vdb");
  line.option("source", text_into(o.source, "SRC"),
              "the disk by what it is made from, by any name, as attach takes it");
  line.option("live", flag_into(o.live), "only from the running guest");
  line.option("config", flag_into(o.config),
              "only from the configuration (default: from both, as far as they have it)");
  line.option("if-present", flag_into(o.if_present), "a domain without this disk is fine");
  line.option("timeout", count_into(o.timeout_s, 1, 86400),
              "seconds to wait until the guest lets go; then nothing is changed, and exit 1");
  line.exit_code(exit_code::failed,
                 "the guest did not let go, or libvirt's error; the configuration is unchanged");
  line.exit_code(exit_code::refused,
                 "the domain has no such disk, or another one in its configuration than running");
  line.example("imgtool detach --domain web1 --target vdb",
               "from the guest, then its configuration");
  line.example("imgtool detach --domain web1 --source /dev/vg0/web1-data --timeout 120",
               "by what it is, with more patience");
}

class DetachJob {
 public:
  DetachJob(const virt::Site& site, const DetachOptions& options)
      : connection_(site.connection),
        options_(options),
        host_(site.host),
        domain_(connection_.domain(options.domain.get("detach"))),
        halves_(virt::read_halves(domain_)) {
    const bool chosen = options.live || options.config;
    if (!chosen || options.live) live_ = find(halves_.live);
    if (!chosen || options.config) config_ = find(halves_.config);
    refuse_saved_state();
    if (live_ == nullptr && config_ == nullptr && !options.if_present) refuse_absent();
    refuse_two_disks();
  }

  // The configuration comes last: it is right as long as the guest has the disk.
  // `verbose` says when the guest was asked.
  void run(bool verbose) {
    if (live_ != nullptr) detach_live(verbose);
    if (config_ != nullptr) detach_config();
  }

  int report(bool json) const {
    const DomainDisk* disk = config_ != nullptr ? config_ : live_;
    if (json) {
      print_json({{"domain", domain_.name()},
                  {"uuid", domain_.uuid()},
                  {"target", disk != nullptr ? Json(disk->target) : Json()},
                  {"source", disk != nullptr ? Json(disk->image.source.label()) : Json()},
                  {"live", done_.live},
                  {"config", done_.config},
                  {"notes", notes_}});
      return exit_code::done;
    }
    virt::print_notes(notes_);
    const std::string what =
        disk == nullptr
            ? "has no such disk"
            : fmt::format("{} ({}) detached from {}", disk->target, disk->image.source.label(),
                          !done_.live    ? "the configuration"
                          : done_.config ? "the running guest and its configuration"
                                         : "the running guest");
    print(terminal_text(fmt::format("{}: {}", domain_.name(), what)) + "\n");
    return exit_code::done;
  }

 private:
  [[noreturn]] void refuse_absent() const {
    throw io::Error::refusal(domain_.name(), why_absent());
  }

  [[nodiscard]] std::string why_absent() const {
    const bool live_only = options_.live && !options_.config;
    const bool config_only = options_.config && !options_.live;
    if (live_only && !halves_.active) return "is not running";
    if (config_only && !halves_.persistent) return "has no configuration that lasts";
    return fmt::format("has no disk {}{}", options_.target ? *options_.target : *options_.source,
                       live_only     ? " in the running guest"
                       : config_only ? " in its configuration"
                                     : "");
  }

  // The next start would give the guest the disk back, whatever uses it by then.
  void refuse_saved_state() const {
    if (!halves_.saved || (config_ == nullptr && find(halves_.saved) == nullptr)) return;
    throw io::Error::refusal(domain_.name(),
                             "has a saved state, which no disk can be taken out of: " +
                                 virt::saved_state_advice(domain_.name()));
  }

  // One name, two disks: which of them is meant?
  void refuse_two_disks() const {
    if (live_ == nullptr || config_ == nullptr) return;
    const virt::DiskSource& running = live_->image.source;
    const virt::DiskSource& kept = config_->image.source;
    const virt::Identity a = host_.identity(running);
    const virt::Identity b = host_.identity(kept);
    if (a.file == b.file && a.name == b.name) return;
    throw io::Error::refusal(
        domain_.name(),
        fmt::format("has {} as {} in the running guest and {} in its configuration: "
                    "--live or --config says which is to go",
                    running.label(), live_->target, kept.label()));
  }

  const DomainDisk* find(const std::optional<DomainLayout>& half) const {
    if (!half) return nullptr;
    if (options_.target) return half->find_target(*options_.target);
    const virt::Identity wanted = virt::identity_of_name(connection_, host_, *options_.source);
    for (const DomainDisk& disk : half->disks) {
      const virt::Identity has = host_.identity(disk.image.source);
      if (has.file ? has.file == wanted.file : !has.name.empty() && has.name == wanted.name) {
        return &disk;
      }
    }
    return nullptr;
  }

  void detach_live(bool verbose) {
    RemovalWatch watch(connection_, domain_, live_->alias);
    try {
      domain_.ask_to_let_go(live_->alias, live_->xml);
    } catch (const LibvirtError& error) {
      const bool asked_before =
          error.text().find("already in the process of unplug") != std::string::npos;
      const bool cannot = error.code() == virt::error_code::no_support;
      if (!asked_before && (!cannot || config_ == nullptr || options_.live)) throw;
      if (cannot) {
        notes_.push_back(
            fmt::format("the running {} keeps the disk until its next start: this "
                        "driver of libvirt cannot unplug it",
                        domain_.name()));
        return;
      }
    }
    if (verbose) {
      complain(fmt::format("{}: asked to let go of {}; waits for that up to {} s", domain_.name(),
                           live_->target, options_.timeout_s));
    }
    const auto outcome = wait_for(watch);
    if (outcome == RemovalWatch::Outcome::removed) {
      done_.live = true;
      return;
    }
    const std::string stays = fmt::format(
        "{} stays attached{}; imgtool disks {} tells if the guest lets go later", live_->target,
        config_ != nullptr ? ", in the configuration too" : "", shell_word(domain_.name()));
    if (outcome == RemovalWatch::Outcome::stopped) {
      throw io::Error(io::ErrorKind::cancelled, domain_.name(), "stopped: " + stays);
    }
    throw io::Error(
        io::ErrorKind::system, domain_.name(),
        outcome == RemovalWatch::Outcome::refused
            ? "the guest refused: " + stays
            : fmt::format("the guest did not let go within {} s: {}", options_.timeout_s, stays));
  }

  RemovalWatch::Outcome wait_for(RemovalWatch& watch) const {
    try {
      return watch.wait(
          std::chrono::seconds(options_.timeout_s), [&] { return is_gone(); },
          [] { return stop_flag().load() != 0; });
    } catch (const LibvirtError& error) {
      throw error.with_hint(fmt::format(
          "it is not known whether the guest let go of {}{}: imgtool disks {} tells", live_->target,
          config_ != nullptr ? ", and the configuration still has it" : "",
          shell_word(domain_.name())));
    }
  }

  // A guest that has ended has no disk any more; asked then, libvirt would tell the configuration.
  [[nodiscard]] bool is_gone() const {
    try {
      return !domain_.is_active() ||
             virt::read_domain(domain_.live_xml()).find_target(live_->target) == nullptr;
    } catch (const LibvirtError& error) {
      if (error.code() == virt::error_code::no_domain) return true;
      throw;
    }
  }

  void detach_config() {
    try {
      domain_.detach(config_->xml, {.config = true});
    } catch (const LibvirtError& error) {
      if (error.code() == virt::error_code::no_support) {
        connection_.define(virt::without_disk(domain_.inactive_xml(true), config_->target));
      } else if (done_.live) {
        throw error.with_hint(fmt::format(
            "the guest has let go of {}, and only the configuration still has it: imgtool detach "
            "--config does the rest",
            live_->target));
      } else {
        throw;
      }
    }
    done_.config = true;
  }

  const virt::Connection& connection_;
  const DetachOptions& options_;
  const virt::HostStorage& host_;
  virt::Domain domain_;
  virt::DomainHalves halves_;
  const DomainDisk* live_ = nullptr;
  const DomainDisk* config_ = nullptr;
  Halves done_{};
  std::vector<std::string> notes_;
};

}  // namespace

int run_detach(const Arguments& arguments) {
  DetachOptions o;
  CommandLine line("detach",
                   "Takes a disk off a virtual machine of libvirt: asks the running guest, waits "
                   "until it let go, and then changes the configuration. A guest that does not let "
                   "go keeps the disk, in both.");
  describe_detach(line, o);
  if (const auto exit = line.parse(arguments)) return *exit;
  (void)o.domain.get("detach");
  if (o.target.has_value() == o.source.has_value()) {
    throw UsageError("detach: the disk is named by --target DEV or by --source SRC");
  }
  return virt::run_reporting(line.common().json, exit_code::refused, [&] {
    const virt::Site site(o.uri, virt::Access::read_write);
    DetachJob job(site, o);
    job.run(line.common().verbose);
    return job.report(line.common().json);
  });
}

}  // namespace imgtool
