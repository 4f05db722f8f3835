// imgtool ls IMAGE [PATH]
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/entry_list.hpp"
#include "imgtool/jobs/opened_disk.hpp"
#include "imgtool/reports/file_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/text_output.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::filesystems::Entry;
using formats::filesystems::Node;
using formats::filesystems::NodeId;
using formats::filesystems::NodeKind;

struct LsOptions {
  std::string image;
  std::optional<std::string> path;
  formats::OpenOptions open;
  bool recursive = false;
  JobOptions job;
};

// Lines as they come; the members of a JSON list likewise, so that a million of them take no
// memory.
class Listing {
 public:
  Listing(InnerFileSystem& files, bool json) : files_(files), json_(json) {}

  void add(const Entry& entry, const std::string& name) {
    try {
      const Node node = files_.tree().look_at(entry.id);
      const std::string link = node.kind == NodeKind::link ? files_.link_text(entry.id) : "";
      print_entry(node, name, link);
      is_folder_ = node.kind == NodeKind::folder;
    } catch (const io::Error& error) {
      give_up_on(name, error);
    }
  }

  // Whether what was added last is a folder.
  [[nodiscard]] bool is_folder() const { return is_folder_; }
  [[nodiscard]] bool failed() const { return failed_; }

  void give_up_on(const std::string& name, const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw error;
    complain(terminal_text(fmt::format("{}: {}", name, error.what())));
    is_folder_ = false;
    failed_ = true;
  }

  void end() {
    if (json_) print_json_text(begun_ ? "]\n" : "[]\n");
  }

 private:
  void print_entry(const Node& node, const std::string& name, const std::string& link) {
    if (!json_) return print(line_of(node, name, link));
    print_json_text((begun_ ? ",\n" : "[") + json_of(node, name, link).text(-1));
    begun_ = true;
  }

  InnerFileSystem& files_;
  bool json_;
  bool begun_ = false;
  bool is_folder_ = false;
  bool failed_ = false;
};

constexpr std::size_t deepest = 200;
constexpr std::uint64_t most_entries = std::uint64_t{16} << 20;

struct Folder {
  EntryList entries;
  std::string prefix;  // of the names in it
  NodeId id;
  std::size_t next = 0;
};

Folder open_folder(InnerFileSystem& files, NodeId id, std::string prefix) {
  EntryList entries(files.tree(), id, files.view().name());
  entries.sort_by_name();
  return {std::move(entries), std::move(prefix), id};
}

// Whether a folder is one of those that it lies in.
bool is_circle(const std::vector<Folder>& open, NodeId id) {
  for (const Folder& folder : open) {
    if (folder.id == id) return true;
  }
  return false;
}

void list_folder(InnerFileSystem& files, NodeId id, bool recursive, Listing& listing) {
  std::vector<Folder> open;
  open.push_back(open_folder(files, id, ""));
  std::uint64_t seen = 0;
  while (!open.empty()) {
    Folder& folder = open.back();
    if (folder.next == folder.entries.size()) {
      open.pop_back();
      continue;
    }
    io::throw_if_stopped(stop_flag(), files.view().name());
    const Entry entry = folder.entries[folder.next++];
    const NodeId inner = entry.id;
    const std::string name = folder.prefix + std::string(entry.name);
    listing.add(entry, name);
    if (!recursive || !listing.is_folder()) continue;
    try {
      if (++seen > most_entries || open.size() == deepest || is_circle(open, inner)) {
        throw io::Error(io::ErrorKind::format, files.view().name(),
                        "lies in itself, or deeper than imgtool goes");
      }
      open.push_back(open_folder(files, inner, name + '/'));
    } catch (const io::Error& error) {
      listing.give_up_on(name, error);
    }
  }
}

int list_parts(const InnerFiles& files, bool json) {
  if (json) {
    print_json(parts_document(files.volumes()));
  } else {
    const auto screen = FdOutput(STDOUT_FILENO).screen();
    print(parts_in_words(files.volumes(),
                         screen ? std::optional<std::size_t>(screen->columns) : std::nullopt));
  }
  return exit_code::done;
}

int list_files(InnerFiles& inner, const InnerPath& where, const LsOptions& o, bool json) {
  const auto files = inner.open(where.part);
  note_warning(*files);
  const std::string path = where.path.empty() ? "/" : where.path;
  const NodeId id = files->find(path, InnerFileSystem::LastLink::followed);
  Listing listing(*files, json);
  if (files->tree().look_at(id).kind == NodeKind::folder) {
    list_folder(*files, id, o.recursive, listing);
  } else {
    listing.add({path, id}, path);
  }
  listing.end();
  return listing.failed() ? exit_code::partly : exit_code::done;
}

}  // namespace

int run_ls(const Arguments& arguments) {
  LsOptions o;
  CommandLine line("ls",
                   "Lists the files in a folder of IMAGE, or its file systems where it has several "
                   "and none is named. Reads ext2, ext3, ext4, NTFS, FAT, exFAT, XFS and btrfs by "
                   "itself, in LVM too; mounts nothing, and changes nothing.");
  line.argument("IMAGE", o.image, "image or disk to look into");
  line.argument("PATH", o.path,
                "/etc, or behind the part that it lies in: 2:/etc, vg/root:/etc (root folder)");
  image_options(line, o.open);
  line.option("recursive,R", flag_into(o.recursive), "also what is in the folders below");
  line.job_options(o.job);
  line.exit_code(exit_code::refused,
                 "IMAGE names another file (see --follow-references), or several file systems");
  line.exit_code(exit_code::partly, "some of it could not be read");
  line.example("imgtool ls golden.qcow2", "which file systems are in it");
  line.example("imgtool ls golden.qcow2 2:/etc", "a folder of partition 2");
  if (const auto exit = line.parse(arguments)) return *exit;

  const InnerPath where = o.path ? parse_inner_path(*o.path) : InnerPath{};
  OpenedDisk disk(o.image, o.open, o.job);
  const bool json = line.common().json;
  if (!o.path && disk.files().volumes().size() != 1) return list_parts(disk.files(), json);
  return list_files(disk.files(), where, o, json);
}

}  // namespace imgtool
