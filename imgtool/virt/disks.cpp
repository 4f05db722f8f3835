// imgtool disks [NAME]
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "imgtool/command.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/table.hpp"
#include "imgtool/terminal/text_output.hpp"
#include "imgtool/virt/disk_report.hpp"
#include "imgtool/virt/virt_report.hpp"

namespace imgtool {
namespace {

using virt::DiskReport;
using virt::DomainReport;
using virt::HalfReport;
using virt::ImageReport;

std::optional<std::size_t> terminal_width() {
  const auto screen = FdOutput(STDOUT_FILENO).screen();
  return screen ? std::optional(screen->columns) : std::nullopt;
}

std::string where_text(const DiskReport& disk, const DomainReport& domain) {
  if (domain.halves.live && domain.halves.config) {
    return disk.differences.empty() ? "both"
           : disk.live && disk.config
               ? fmt::format("both; {} differs", fmt::join(disk.differences, ", "))
               : disk.differences.front();
  }
  return domain.halves.live ? "transient guest" : "configuration";
}

std::string format_text(const ImageReport& image) {
  std::string told = image.format.empty() ? "raw" : image.format;
  if (image.content.empty() || image.content == told) return told;
  return fmt::format("{} (content: {})", told, image.content);
}

void add_rows(Table& table, const DomainReport& domain) {
  for (const DiskReport& disk : domain.disks) {
    const HalfReport& half = disk.any();
    std::string target = disk.target;
    std::string bus = half.disk.bus;
    std::string where = where_text(disk, domain);
    std::string serial = half.disk.serial;
    for (const ImageReport& image : half.chain) {
      const std::string problem = image.problem.empty() ? "" : fmt::format(" ({})", image.problem);
      table.add({domain.halves.name, target, bus, format_text(image),
                 image.size ? human_size(*image.size) : "?",
                 image.allocated ? human_size(*image.allocated) : "?", serial,
                 (&image == &half.chain.front() ? "" : "  over ") + image.label + problem, where});
      target = bus = where = serial = "";
    }
    if (half.chain.empty()) {
      table.add({domain.halves.name, target, bus, "", "", "", "", "(empty)", where});
    }
  }
}

}  // namespace

int run_disks(const Arguments& arguments) {
  std::optional<std::string> name;
  std::optional<std::string> uri;
  CommandLine line("disks",
                   "Lists the disks of a virtual machine, or of all: format, size, what is below "
                   "each image, and whether the running guest and its configuration agree.");
  line.argument("NAME", name, "a domain, by name or UUID (default: all)");
  virt::connect_option(line, uri);
  line.example("imgtool disks web1", "the disks of one virtual machine");
  line.example("imgtool disks --json", "all there is to know, with the identity of each image");
  if (const auto exit = line.parse(arguments)) return *exit;

  return virt::run_reporting(line.common().json, exit_code::refused, [&] {
    const virt::Site site(uri, virt::Access::read_only);
    const virt::Connection& connection = site.connection;
    const auto reports = virt::report_domains(connection, site.host, name);
    if (line.common().json) {
      auto list = Json::array();
      for (const DomainReport& report : reports) list.push_back(domain_json(report));
      print_json({{"uri", connection.uri()},
                  {"remote", connection.is_remote()},
                  {"domains", std::move(list)}});
      return exit_code::done;
    }
    Table table({{"DOMAIN", Column::Cut::back, 8},
                 {"TARGET"},
                 {"BUS"},
                 {"FORMAT"},
                 {.title = "SIZE", .right_aligned = true},
                 {.title = "TAKES", .right_aligned = true},
                 {.title = "SERIAL", .leaves = 1},
                 {"SOURCE", Column::Cut::front, 20},
                 {"WHERE"}});
    for (const DomainReport& report : reports) add_rows(table, report);
    const auto is_empty = [](const DomainReport& report) { return report.disks.empty(); };
    if (std::all_of(reports.begin(), reports.end(), is_empty)) {
      print("No disks.\n");
      return exit_code::done;
    }
    for (const std::string& row : table.lines(terminal_width())) print(row + "\n");
    if (connection.is_remote()) {
      complain("note: the images are on another host, and were not looked into");
    }
    return exit_code::done;
  });
}

}  // namespace imgtool
