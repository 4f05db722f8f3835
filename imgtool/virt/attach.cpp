// imgtool attach --domain NAME --source SRC
#include <fmt/format.h>

#include "imgtool/command.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "imgtool/virt/attach_job.hpp"
#include "imgtool/virt/attach_turn.hpp"
#include "imgtool/virt/virt_report.hpp"

namespace imgtool {
namespace {

using virt::AttachJob;
using virt::AttachOptions;
using virt::Decision;
using virt::Halves;
// A text out of a closed list.
OptionValue word_into(std::string& variable, const std::vector<std::string>& words) {
  return {.placeholder = join(words, "|"),
          .default_text = variable,
          .set = [&variable, words](const std::string& word) {
            variable = words[parse_choice(word, words)];
          }};
}

OptionValue image_format_into(std::optional<std::string>& variable) {
  const std::vector<std::string> words = {"raw", "qcow2", "vdi", "vpc", "vmdk", "qed", "qcow"};
  return {.placeholder = join(words, "|"), .set = [&variable, words](const std::string& word) {
            variable = words[parse_choice(word, words)];
          }};
}

struct AttachCommandOptions {
  AttachOptions attach;
  virt::DomainName domain;
  std::optional<std::string> uri;
  bool dry_run = false;
};

void describe_attach(CommandLine& line, AttachCommandOptions& o) {
  AttachOptions& attach = o.attach;
  virt::domain_option(line, o.domain);
  line.option(
      "source", text_into(attach.source, "SRC"),
      "disk, logical volume, partition, raw or qcow2 file (vdi, vpc, vmdk, qed and qcow ones "
      "too, alone), storage volume (POOL/VOL), "
      "nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH or rbd:POOL/IMAGE");
  virt::connect_option(line, o.uri);
  line.option("target", text_into(attach.target, "DEV"),
              "its name in the domain: vdb (default: the first that is free)");
  line.option(
      "bus", word_into(attach.bus, {"auto", "virtio", "scsi", "sata", "ide"}),
      "auto: virtio; scsi when the running guest has no PCI port free; sata or ide for "
      "Windows (by libosinfo's metadata, hyperv features or the hypervclock timer) that has "
      "no disk on virtio yet");
  line.option("format,f", image_format_into(attach.format),
              "what the source is; refused when its content says something else (default: its "
              "content decides)");
  line.option("follow-references", flag_into(attach.follow_references),
              "the image may name backing files, which the guest can then read");
  line.option("cache",
              word_into(attach.cache,
                        {"auto", "none", "writeback", "writethrough", "directsync", "unsafe"}),
              "auto: none, or writeback where there is no O_DIRECT");
  line.option("io", word_into(attach.io, {"auto", "native", "io_uring", "threads"}),
              "auto: native, or threads where there is no O_DIRECT");
  line.option("serial", text_into(attach.serial, "TEXT"),
              "the serial number that the guest sees (default: made from the source's name)");
  line.option("readonly", flag_into(attach.readonly), "the guest cannot write to it");
  line.option("shared", flag_into(attach.shared),
              "other domains have it at the same time, which say so too; raw and cache none");
  line.option("live", flag_into(attach.live), "attach it to the running guest");
  line.option("config", flag_into(attach.config),
              "attach it to the configuration (default: to both, as far as they are there)");
  line.option("start", flag_into(attach.start),
              "then start the domain; when it does not start the disk is taken off again");
  line.option("if-absent", flag_into(attach.if_absent),
              "a disk that is attached already, as asked for, is fine; one that only the guest or "
              "only the configuration has is attached to the other, too");
  line.option("force", flag_into(attach.force), "even if this host uses the disk");
  line.option("dry-run", flag_into(o.dry_run), "only print the XML, and what decided it");
  line.exit_code(exit_code::failed, "not attached: refused, or libvirt's error, with its code");
  line.example("imgtool attach --domain web1 --source /dev/vg0/web1-data",
               "a logical volume, now and for every start");
  line.example("imgtool attach --domain web1 --source golden.qcow2 --start --json",
               "in a pipeline");
  line.example("imgtool attach --domain web1 --source nbd://nas:10809/web1-data",
               "an export of an NBD server");
  line.example("imgtool attach -c qemu+ssh://host/system --domain web1 --source default/data",
               "a storage volume, on another host");
  line.example("imgtool attach --kvm web1 --source /dev/sdb --dry-run", "what would be done");
}

std::string halves_text(Halves halves) {
  if (halves.live && halves.config) return "to the running guest and its configuration";
  return halves.live ? "to the running guest" : "to the configuration";
}

Json attach_json(const AttachJob& job, bool dry_run) {
  const virt::DiskPlan& plan = job.plan();
  Json decisions = Json::array();
  for (const Decision& decision : job.decisions()) {
    decisions.push_back(
        {{"what", decision.what}, {"value", decision.value}, {"why", decision.why}});
  }
  const bool changes = !job.already_attached();
  return {{"domain", job.domain().name},
          {"uuid", job.domain().uuid},
          {"source", job.options().source},
          {"written-source", plan.source.label()},
          {"type", to_string(plan.source.type)},
          {"format", plan.format},
          {"target", plan.target},
          {"bus", plan.bus},
          {"serial", plan.serial},
          {"readonly", plan.readonly},
          {"shared", plan.shareable},
          {"dry-run", dry_run},
          {"already-attached", job.already_attached()},
          {"live", changes && job.halves().live},
          {"config", changes && job.halves().config},
          {"started", job.started()},
          {"decisions", std::move(decisions)},
          {"notes", job.notes()},
          {"xml", job.xml()}};
}

void print_decisions(const AttachJob& job) {
  for (const Decision& decision : job.decisions()) {
    print(terminal_text(fmt::format("{}: {} ({})", decision.what, decision.value, decision.why)) +
          "\n");
  }
}

void print_attached(const AttachJob& job) {
  const virt::DiskPlan& plan = job.plan();
  const std::string what = fmt::format("{}: {}", job.domain().name, plan.source.label());
  std::string text;
  if (job.already_attached()) {
    text = fmt::format("{} is attached already, as {}", what, plan.target);
  } else {
    text = fmt::format("{} attached {} as {} ({}, {}{}), serial {}", what,
                       halves_text(job.halves()), plan.target, plan.bus, plan.format,
                       plan.readonly ? ", read-only" : "", plan.serial);
  }
  if (job.started()) text += "; started";
  print(terminal_text(text) + "\n");
}

int attach_disk(const AttachCommandOptions& o, const CommonOptions& common) {
  // Before the host is looked at: what it uses may change while we wait.
  std::optional<virt::AttachTurn> turn;
  if (!o.dry_run && virt::may_be_this_host(o.uri)) turn.emplace();
  const virt::Site site(o.uri, virt::Access::read_write);
  AttachJob job(site.connection, site.host, o.attach);
  if (turn && !turn->note().empty()) job.add_note(turn->note());
  if (!o.dry_run) job.run();
  if (common.json) {
    print_json(attach_json(job, o.dry_run));
    return exit_code::done;
  }
  virt::print_notes(job.notes());
  if (o.dry_run) print(job.xml());
  if (o.dry_run || common.verbose) print_decisions(job);
  if (!o.dry_run) print_attached(job);
  return exit_code::done;
}

}  // namespace

int run_attach(const Arguments& arguments) {
  AttachCommandOptions o;
  CommandLine line("attach",
                   "Adds a disk to a virtual machine of libvirt: to the running guest and to its "
                   "configuration in one step, or not at all. Refuses what libvirt would let "
                   "happen: a disk, a part of it or an image below it that another domain or this "
                   "host uses, by any name; a format that the content contradicts; a source that "
                   "is not there.");
  describe_attach(line, o);
  if (const auto exit = line.parse(arguments)) return *exit;
  o.attach.domain = o.domain.get("attach");
  if (o.attach.source.empty()) throw UsageError("attach: --source SRC is missing");
  // Exit 1 for a refusal too: the script that this replaces knew 0 and 1.
  return virt::run_reporting(line.common().json, exit_code::failed,
                             [&] { return attach_disk(o, line.common()); });
}

}  // namespace imgtool
