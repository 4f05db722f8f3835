// Attaching a disk to a domain: what is decided, checked and done, in this order.
//
//   AttachJob job(connection, host, options);   // looks, decides, refuses; changes nothing
//   job.run();                                  // one call that libvirt does wholly or not at all
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "imgtool/virt/disk_xml.hpp"
#include "imgtool/virt/domain_disks.hpp"
#include "imgtool/virt/libvirt.hpp"
#include "imgtool/virt/source_check.hpp"

namespace imgtool::virt {

struct AttachOptions {
  std::string domain;
  std::string source;
  std::optional<std::string> target;
  std::optional<std::string> format;
  std::optional<std::string> serial;
  std::string bus = "auto";
  std::string cache = "auto";
  std::string io = "auto";
  bool readonly = false;
  bool shared = false;
  bool live = false;
  bool config = false;
  bool start = false;
  bool if_absent = false;
  bool follow_references = false;
  bool force = false;
};

struct Decision {
  std::string what;
  std::string value;
  std::string why;
};

class AttachJob {
 public:
  // Both outlive the job. Throws LibvirtError, io::Error (refused: Conflict and others) and
  // UsageError.
  AttachJob(const Connection& connection, const HostStorage& host, AttachOptions options);

  // Attaches, unless already_attached(), and starts the domain if that was asked for. When the
  // domain does not start the disk is taken off again.
  void run();

  [[nodiscard]] const AttachOptions& options() const noexcept { return options_; }
  [[nodiscard]] const DomainHalves& domain() const noexcept { return *ours_; }
  [[nodiscard]] const DiskPlan& plan() const noexcept { return plan_; }
  [[nodiscard]] const std::string& xml() const noexcept { return xml_; }
  // What is attached to; after run() what was.
  [[nodiscard]] Halves halves() const noexcept { return halves_; }
  [[nodiscard]] bool already_attached() const noexcept { return already_; }
  [[nodiscard]] bool started() const noexcept { return started_; }
  [[nodiscard]] const std::vector<Decision>& decisions() const noexcept { return decisions_; }
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }
  void add_note(const std::string& note) { notes_.push_back(note); }

 private:
  void choose_halves();
  void look_at_domains();
  // The disk of our domain that is this source already; null where there is none.
  [[nodiscard]] const DiskUse* find_own_use() const;
  void complete(const DiskUse& own);
  void refuse_differences(const DiskUse& own, const std::string& where) const;
  void refuse_saved_state() const;
  void check_conflicts(const DiskUse* own);
  void check_host(const Identity& image, bool writes) const;
  void choose_bus_and_target();
  void choose_caching();
  void choose_serial();
  void attach();
  void redefine();
  void say_not_plugged_in();
  void start_domain();
  [[nodiscard]] bool guest_has_disk() const;
  void undo() const;
  void decide(std::string what, std::string value, std::string why);
  [[nodiscard]] const DomainLayout& layout() const;
  [[nodiscard]] bool has_serial(const std::string& serial) const;

  const Connection& connection_;
  const HostStorage& host_;
  AttachOptions options_;
  Domain domain_;
  std::vector<DomainHalves> domains_;
  const DomainHalves* ours_ = nullptr;
  AllUses uses_;
  CheckedSource source_;
  Halves halves_{};
  DiskPlan plan_;
  std::string xml_;
  bool already_ = false;
  bool completes_ = false;  // the disk was there in one half, and the other one gets it too
  bool redefined_ = false;
  bool started_ = false;
  std::vector<Decision> decisions_;
  std::vector<std::string> notes_;
};

}  // namespace imgtool::virt
