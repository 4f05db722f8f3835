// imgtool domains
#include <unistd.h>

#include <fmt/format.h>

#include "imgtool/command.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/table.hpp"
#include "imgtool/terminal/text_output.hpp"
#include "imgtool/virt/disk_report.hpp"
#include "imgtool/virt/virt_report.hpp"

namespace imgtool {
namespace {

std::string disk_names(const virt::DomainReport& domain) {
  std::string text;
  for (const virt::DiskReport& disk : domain.disks) {
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", disk.target,
                        disk.differences.empty() ? "" : "*");
  }
  return text;
}

}  // namespace

int run_domains(const Arguments& arguments) {
  std::optional<std::string> uri;
  CommandLine line("domains",
                   "Lists the virtual machines that libvirt knows: state, whether a configuration "
                   "is kept, and their disks. A star marks a disk that differs between the running "
                   "guest and its configuration; imgtool disks tells how.");
  virt::connect_option(line, uri);
  line.example("imgtool domains", "what runs here");
  line.example("imgtool domains -c qemu+ssh://root@host/system", "and what runs there");
  if (const auto exit = line.parse(arguments)) return *exit;

  return virt::run_reporting(line.common().json, exit_code::refused, [&] {
    const virt::Site site(uri, virt::Access::read_only);
    const virt::Connection& connection = site.connection;
    const auto reports = virt::report_domains(connection, site.host, std::nullopt);
    if (line.common().json) {
      auto list = Json::array();
      for (const auto& report : reports) {
        auto entry = domain_json(report);
        auto targets = Json::array();
        for (const auto& disk : report.disks) {
          targets.push_back({{"target", disk.target}, {"differs", !disk.differences.empty()}});
        }
        entry["disks"] = std::move(targets);
        list.push_back(std::move(entry));
      }
      print_json({{"uri", connection.uri()},
                  {"remote", connection.is_remote()},
                  {"domains", std::move(list)}});
      return exit_code::done;
    }
    if (reports.empty()) {
      print("No domains.\n");
      return exit_code::done;
    }
    Table table({{"DOMAIN"}, {"STATE"}, {"KEPT"}, {"DISKS", Column::Cut::back, 10}});
    for (const auto& report : reports) {
      table.add({report.halves.name, std::string(to_string(report.state)),
                 report.halves.persistent ? "yes" : "no", disk_names(report)});
    }
    const auto screen = FdOutput(STDOUT_FILENO).screen();
    for (const std::string& row :
         table.lines(screen ? std::optional(screen->columns) : std::nullopt)) {
      print(row + "\n");
    }
    return exit_code::done;
  });
}

}  // namespace imgtool
