#include "imgtool/virt/virt_report.hpp"

#include <fmt/format.h>

#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool::virt {
namespace {

std::string conflict_text(const std::vector<DiskUse>& uses, const std::string& advice) {
  constexpr std::size_t most = 3;
  std::string text = "is ";
  for (std::size_t index = 0; index < std::min(most, uses.size()); ++index) {
    text += fmt::format("{}{}, as {}", index == 0 ? "" : "; and ", describe(uses[index]),
                        uses[index].label);
  }
  if (uses.size() > most) text += fmt::format("; and {} more", uses.size() - most);
  return advice.empty() ? text : text + ": " + advice;
}

Json conflict_json(const DiskUse& use) {
  return {{"domain", use.domain},
          {"target", use.target},
          {"path", use.label},
          {"role", use.role == Role::disk      ? "disk"
                   : use.role == Role::backing ? "backing"
                   : use.role == Role::mirror  ? "mirror"
                                               : "device"},
          {"live", use.halves.live},
          {"config", use.halves.config},
          {"saved", use.saved}};
}

int report(const Failure& failure, const Json& details, bool json) {
  complain(failure.message);
  if (json) {
    Json document = error_document(failure);
    document["error"].update(details);
    print_json(document);
    flush_output();
  }
  return failure.exit_code;
}

}  // namespace

Conflict::Conflict(const std::string& path, std::vector<DiskUse> uses, const std::string& advice)
    : io::Error(io::ErrorKind::refused, path, conflict_text(uses, advice)),
      uses_(std::move(uses)) {}

int run_reporting(bool json, int refused, const std::function<int()>& work) {
  try {
    return work();
  } catch (const Conflict& conflict) {
    Json list = Json::array();
    for (const DiskUse& use : conflict.uses()) list.push_back(conflict_json(use));
    return report({refused, "refused", conflict.what(), conflict.path(), std::nullopt},
                  {{"conflicts", list}}, json);
  } catch (const LibvirtError& error) {
    return report({exit_code::failed, "libvirt", error.what(), "", std::nullopt},
                  {{"code", error.code()},
                   {"domain", error.domain()},
                   {"text", error.text()},
                   {"hint", error.hint().empty() ? Json() : Json(error.hint())}},
                  json);
  } catch (const io::Error& error) {
    Failure failure = describe_failure(std::current_exception(), stop_flag().load());
    if (error.kind() == io::ErrorKind::refused) failure.exit_code = refused;
    return report_failure(failure, json);
  }
}

void connect_option(CommandLine& line, std::optional<std::string>& uri) {
  line.option("connect,c", text_into(uri, "URI"),
              "the libvirt to talk to: qemu:///system, qemu+ssh://root@host/system ... (default: "
              "LIBVIRT_DEFAULT_URI, else what libvirt finds)");
}

const std::string& DomainName::get(const std::string& command) const {
  if (domain.empty() && kvm.empty()) {
    throw UsageError(fmt::format("{}: --domain NAME is missing", command));
  }
  if (!domain.empty() && !kvm.empty() && domain != kvm) {
    throw UsageError(
        fmt::format("{}: --domain '{}' and --kvm '{}' are two domains", command, domain, kvm));
  }
  return domain.empty() ? kvm : domain;
}

void domain_option(CommandLine& line, DomainName& name) {
  line.option("domain", text_into(name.domain, "NAME"), "the virtual machine, by name or UUID");
  line.option("kvm", text_into(name.kvm, "NAME"), "the same as --domain");
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) complain("note: " + note);
}

}  // namespace imgtool::virt
