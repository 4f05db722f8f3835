#include "formats/disks/file_survey.hpp"

#include <algorithm>
#include <queue>

#include <fmt/format.h>

#include "formats/disks/id_set.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

using filesystems::Entry;
using filesystems::FileTree;
using filesystems::Node;
using filesystems::NodeId;
using filesystems::NodeKind;

constexpr std::size_t most_folders = std::size_t{4} << 20;
constexpr std::uint64_t most_files = std::uint64_t{16} << 20;
constexpr std::size_t most_name_bytes = std::size_t{256} << 20;
constexpr unsigned deepest = 200;
constexpr std::size_t most_problems = 20;
constexpr std::size_t most_pictured = 400;

struct Folder {
  NodeId id;
  std::uint32_t parent = 0;
  std::uint32_t name = 0;  // where it begins
  std::uint16_t name_length = 0;
  std::uint8_t depth = 0;
  FileUse use = FileUse::unknown;
  std::uint64_t stored = 0;
  std::uint64_t files = 0;
};

// A file that may be one of the largest.
struct Candidate {
  std::uint64_t stored = 0;
  std::uint64_t size = 0;
  std::uint32_t folder = 0;
  FileUse use = FileUse::unknown;
  std::string name;

  // The least one is on the top of a queue.
  friend bool operator<(const Candidate& a, const Candidate& b) { return a.stored > b.stored; }
};

class Survey {
 public:
  Survey(FileTree& tree, std::size_t most, const SwapFileTest& is_swap_file,
         const io::StopFlag* stop)
      : tree_(tree), most_(most), is_swap_file_(is_swap_file), stop_(stop) {}

  FileSurvey run() {
    tree_.count_shared_once();
    add_folder(tree_.root(), 0, "");
    const Node root = tree_.look_at(tree_.root());
    folders_[0].stored = root.stored;
    // Those that are found are put behind the ones that are known.
    for (std::uint32_t i = 0; i < folders_.size(); ++i) look_into(i);
    sum_up();
    take_files();
    take_folders();
    draw();
    return std::move(result_);
  }

 private:
  [[nodiscard]] std::string_view name_of(const Folder& folder) const {
    return std::string_view(names_).substr(folder.name, folder.name_length);
  }

  [[nodiscard]] std::string path_of(std::uint32_t index) const {
    std::vector<std::string_view> parts;
    for (; index != 0; index = folders_[index].parent) parts.push_back(name_of(folders_[index]));
    std::string path;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) path.append("/").append(*part);
    return path;
  }

  void problem(std::string text) {
    ++result_.problem_count;
    if (result_.problems.size() < most_problems) result_.problems.push_back(std::move(text));
  }

  void look_into(std::uint32_t index) {
    try {
      if (index > 0) {
        const Node node = tree_.look_at(folders_[index].id);
        folders_[index].stored += node.stored;
      }
      const NodeId id = folders_[index].id;
      tree_.list(id, [&](const Entry& entry) { return one(index, entry); });
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled || index == 0) throw;
      problem(path_of(index) + ": " + error.what());
    }
  }

  // False: too many.
  bool one(std::uint32_t folder, const Entry& entry) {
    if (stop_ != nullptr && stop_->load() != 0) {
      throw io::Error(io::ErrorKind::cancelled, "", "stopped");
    }
    if (++seen_ > most_files) {
      result_.complete = false;
      return false;
    }
    try {
      const Node node = tree_.look_at(entry.id);
      switch (node.kind) {
        case NodeKind::folder:
          add_folder(entry.id, folder, entry.name);
          break;
        case NodeKind::file:
          add_file(folder, entry, node);
          break;
        default:
          ++result_.others;
          folders_[folder].stored += node.stored;
      }
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      problem(path_of(folder) + '/' + std::string(entry.name) + ": " + error.what());
    }
    return true;
  }

  void add_folder(NodeId id, std::uint32_t parent, std::string_view name) {
    const bool is_root = folders_.empty();
    const unsigned depth = is_root ? 0 : folders_[parent].depth + 1U;
    if (folders_.size() == most_folders || names_.size() + name.size() > most_name_bytes) {
      result_.complete = false;
      return;
    }
    if (depth > deepest) return problem(path_of(parent) + ": has folders that lie too deep");
    if (!entered_.insert(id)) {
      return problem(path_of(parent) + '/' + std::string(name) + ": is a folder in two places");
    }
    Folder folder;
    folder.id = id;
    folder.parent = parent;
    folder.name = static_cast<std::uint32_t>(names_.size());
    folder.name_length = static_cast<std::uint16_t>(std::min<std::size_t>(name.size(), 65535));
    folder.depth = static_cast<std::uint8_t>(depth);
    names_.append(name.substr(0, folder.name_length));
    if (!is_root) {
      ++result_.folders;
      folder.use = use_of(parent, name, depth);
    }
    folders_.push_back(folder);
  }

  // A folder of one use may hold one of another: /var/cache/apt in /var/cache.
  [[nodiscard]] FileUse use_of(std::uint32_t parent, std::string_view name, unsigned depth) const {
    FileUse use = folders_[parent].use;
    if (depth > deepest_known_folder) return use;
    std::vector<std::string_view> names{name};
    for (; parent != 0; parent = folders_[parent].parent)
      names.push_back(name_of(folders_[parent]));
    std::reverse(names.begin(), names.end());
    const FileUse own = use_of_folder(names, tree_.folds_case());
    return own == FileUse::unknown ? use : own;
  }

  void add_file(std::uint32_t folder, const Entry& entry, const Node& node) {
    if (node.links > 1 && !linked_.insert(entry.id)) return;  // has another name
    ++result_.files;
    Folder& holder = folders_[folder];
    holder.stored += node.stored;
    ++holder.files;
    FileUse use = holder.use;
    if (use == FileUse::unknown) use = use_of_file(entry.name, folder == 0, tree_.folds_case());
    if (use == FileUse::unknown && may_be_swap_file(entry.name, node) && is_swap_file_ &&
        is_swap_file_(entry.id, node)) {
      use = FileUse::paging;
    }
    UseTotal& total = result_.uses[static_cast<std::size_t>(use)];
    ++total.files;
    total.stored += node.stored;
    if (largest_.size() == most_ && (most_ == 0 || largest_.top().stored >= node.stored)) return;
    if (largest_.size() == most_) largest_.pop();
    largest_.push({node.stored, node.size, folder, use, std::string(entry.name)});
  }

  // The kernel takes no other as one: whole pages, without holes; and nobody else may read it.
  [[nodiscard]] static bool may_be_swap_file(std::string_view name, const Node& node) {
    constexpr std::uint64_t page = 4096;
    constexpr std::uint64_t least = 10 * page;
    return node.size >= least && node.size % page == 0 && node.stored >= node.size &&
           ((node.permissions & 077U) == 0 || name.find("swap") != std::string_view::npos);
  }

  // What is in a folder counts for all that it lies in. Those come before it.
  void sum_up() {
    for (std::size_t i = folders_.size(); i-- > 1;) {
      folders_[folders_[i].parent].stored += folders_[i].stored;
      folders_[folders_[i].parent].files += folders_[i].files;
    }
    result_.stored = folders_[0].stored;
  }

  void take_files() {
    for (; !largest_.empty(); largest_.pop()) {
      const Candidate& file = largest_.top();
      result_.largest_files.push_back(
          {path_of(file.folder) + '/' + file.name, file.size, file.stored, file.use});
    }
    std::sort(result_.largest_files.begin(), result_.largest_files.end(),
              [](const SurveyedFile& a, const SurveyedFile& b) {
                return a.stored != b.stored ? a.stored > b.stored : a.path < b.path;
              });
  }

  // The numbers of the largest folders, without the root, by size.
  [[nodiscard]] std::vector<std::uint32_t> largest(std::size_t most) const {
    std::vector<std::uint32_t> order(folders_.size() - 1);
    for (std::uint32_t i = 1; i < folders_.size(); ++i) order[i - 1] = i;
    const std::size_t count = std::min(most, order.size());
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count),
                      order.end(), [&](std::uint32_t a, std::uint32_t b) {
                        return folders_[a].stored != folders_[b].stored
                                   ? folders_[a].stored > folders_[b].stored
                                   : a < b;
                      });
    order.resize(count);
    return order;
  }

  void take_folders() {
    for (const std::uint32_t index : largest(most_)) {
      const Folder& folder = folders_[index];
      result_.largest_folders.push_back({path_of(index), folder.stored, folder.files, folder.use});
    }
  }

  // A folder is at least as large as those in it, and comes before them where they are equal: so
  // the largest ones are a tree.
  void draw() {
    std::vector<std::uint32_t> order = largest(most_pictured);
    order.push_back(0);
    std::sort(order.begin(), order.end());
    for (const std::uint32_t index : order) {
      const Folder& folder = folders_[index];
      const auto parent = std::lower_bound(order.begin(), order.end(), folder.parent);
      result_.picture.push_back({std::string(name_of(folder)),
                                 static_cast<std::size_t>(parent - order.begin()), folder.stored,
                                 folder.use});
    }
  }

  FileTree& tree_;
  std::size_t most_;
  const SwapFileTest& is_swap_file_;
  const io::StopFlag* stop_;
  FileSurvey result_;
  std::vector<Folder> folders_;
  std::string names_;
  IdSet entered_;
  IdSet linked_;
  std::uint64_t seen_ = 0;
  std::priority_queue<Candidate> largest_;
};

}  // namespace

FileSurvey survey_files(FileTree& tree, std::size_t most, const SwapFileTest& is_swap_file,
                        const io::StopFlag* stop) {
  return Survey(tree, most, is_swap_file, stop).run();
}

}  // namespace formats
