// imgtool snapshot IMAGE: the internal snapshots of a qcow2 image.
#include <chrono>
#include <optional>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/probe.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "formats/images/qcow2/snapshot_editor.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/edited_file.hpp"
#include "imgtool/reports/qemu_text.hpp"
#include "imgtool/reports/snapshot_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace imgtool {
namespace {

namespace qcow2 = formats::qcow2;

struct SnapshotOptions {
  std::string path;
  bool list = false;
  std::optional<std::string> create;
  std::optional<std::string> apply;
  std::optional<std::string> remove;
  bool force_share = false;
  AnswerFormat output = AnswerFormat::human;

  [[nodiscard]] int actions() const {
    return (list ? 1 : 0) + (create ? 1 : 0) + (apply ? 1 : 0) + (remove ? 1 : 0);
  }
};

std::vector<qcow2::Snapshot> listed(const SnapshotOptions& o) {
  const io::File file(o.path, O_RDONLY);
  if (const auto format = formats::probe(file); format != formats::Format::qcow2) {
    throw io::Error(
        io::ErrorKind::unsupported, o.path,
        fmt::format("is {}; only qcow2 images have snapshots", formats::name_of(format)));
  }
  if (!o.force_share) io::lock_image(file, io::ImageUse::reading, way_past_lock);
  return qcow2::read_snapshots(qcow2::TableReader(file), qcow2::read_header(file)).snapshots;
}

struct Done {
  const char* what;
  qcow2::Snapshot snapshot;
};

Done change(const SnapshotOptions& o) {
  const io::File file = open_qcow2_alone(o.path, "snapshots");
  Done done{};
  if (o.create) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
    const std::chrono::nanoseconds rest = now - seconds;
    done = {"created",
            qcow2::create_snapshot(file, *o.create, static_cast<std::uint32_t>(seconds.count()),
                                   static_cast<std::uint32_t>(rest.count()), stop_flag())};
  } else if (o.apply) {
    done = {"applied", qcow2::apply_snapshot(file, *o.apply, stop_flag())};
  } else {
    done = {"deleted", qcow2::delete_snapshot(file, *o.remove, stop_flag())};
  }
  // It is done: what remains only gives room back.
  const io::StopFlag to_the_end{0};
  qcow2::release_room_behind(file, to_the_end);
  return done;
}

void print_list(const SnapshotOptions& o) {
  const auto snapshots = listed(o);
  if (o.output == AnswerFormat::json) {
    Json document = {{"image", o.path}};
    document["snapshots"] = Json::array();
    for (const auto& snapshot : snapshots) document["snapshots"].push_back(snapshot_json(snapshot));
    print_json(document);
  } else if (o.output == AnswerFormat::qemu) {
    print(qemu_snapshot_list(snapshots));
  } else if (!snapshots.empty()) {
    print(snapshot_table(snapshots));
  }
}

void print_change(const SnapshotOptions& o, const Done& done) {
  if (o.output == AnswerFormat::json) {
    Json document = {{"image", o.path}};
    document[done.what] = snapshot_json(done.snapshot);
    print_json(document);
    return;
  }
  print(terminal_text(fmt::format("{}: snapshot {} '{}' {}", o.path, done.snapshot.id,
                                  done.snapshot.name, done.what)) +
        "\n");
}

}  // namespace

int run_snapshot(const Arguments& arguments) {
  SnapshotOptions o;
  CommandLine line("snapshot",
                   "Lists the internal snapshots of a qcow2 image, or creates, applies or deletes "
                   "one, in place. Killed at any moment, the image is as it was or as it is to "
                   "be.");
  line.argument("IMAGE", o.path, "qcow2 image");
  line.option("list,l", flag_into(o.list), "list them, and change nothing (the default)");
  line.option("create,c", text_into(o.create, "NAME"), "keep the disk as it is now");
  line.option("apply,a", text_into(o.apply, "SNAPSHOT"),
              "make the disk what it was then; what it is now is lost");
  line.option("delete,d", text_into(o.remove, "SNAPSHOT"),
              "delete the one with this id or name, and give its room back");
  force_share_option(line, o.force_share);
  answer_format_option(line, o.output);
  line.exit_code(exit_code::refused, "the image is in use or damaged, or has a snapshot NAME");
  line.example("imgtool snapshot -c before-upgrade disk.qcow2", "keep the disk as it is");
  line.example("imgtool snapshot -a before-upgrade disk.qcow2", "and go back to it");
  if (const auto exit = line.parse(arguments)) return *exit;
  if (o.actions() > 1) {
    throw UsageError("snapshot: -l, -c, -a and -d exclude each other");
  }
  const bool only_lists = o.actions() == 0 || o.list;
  if (o.force_share && !only_lists) {
    throw UsageError("snapshot: --force-share only reads, and this writes");
  }
  if (o.create && o.create->empty()) throw UsageError("snapshot: -c needs a name");
  if (line.common().json) o.output = AnswerFormat::json;
  if (only_lists) {
    print_list(o);
  } else {
    print_change(o, change(o));
  }
  return exit_code::done;
}

}  // namespace imgtool
