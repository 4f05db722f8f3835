// imgtool info: what an image says about itself, with qemu-img's JSON keys.
#include <algorithm>
#include <variant>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/facts.hpp"
#include "formats/images/reference.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/reports/bitmap_report.hpp"
#include "imgtool/reports/qemu_text.hpp"
#include "imgtool/reports/snapshot_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"

namespace imgtool {
namespace {

using formats::BlockFact;
using formats::BlockFacts;
using formats::ContainerFacts;
using formats::ImageFacts;
using formats::Qcow2Facts;
using formats::qcow2::Bitmap;
using formats::qcow2::Compression;
using formats::qcow2::Encryption;
using formats::qcow2::Header;
using formats::qcow2::LuksHeader;
using formats::qcow2::Snapshot;

Json luks_json(const LuksHeader& luks) {
  Json json;
  json["format"] = "luks";
  json["cipher-alg"] = luks.cipher;
  json["cipher-mode"] = luks.mode;
  json["ivgen-alg"] = luks.iv;
  if (!luks.iv_hash.empty()) json["ivgen-hash-alg"] = luks.iv_hash;
  json["hash-alg"] = luks.hash;
  json["uuid"] = luks.uuid;
  json["payload-offset"] = luks.payload_offset;
  json["master-key-iters"] = luks.master_key_iterations;
  for (const auto& slot : luks.slots) {
    Json entry;
    entry["active"] = slot.active;
    if (slot.active) entry["iters"] = slot.iterations;
    if (slot.active) entry["stripes"] = slot.stripes;
    entry["key-offset"] = slot.key_offset;
    json["slots"].push_back(entry);
  }
  return json;
}

// The keys that only qcow2 has.
Json qcow2_json(const Qcow2Facts& facts) {
  const Header& header = facts.header;
  Json json;
  json["compat"] = header.version == 2 ? "0.10" : "1.1";
  json["compression-type"] = header.compression == Compression::zstd ? "zstd" : "zlib";
  json["refcount-bits"] = header.refcount_bits;
  if (header.version > 2) {
    json["lazy-refcounts"] = header.lazy_refcounts;
    json["corrupt"] = header.corrupt;
    json["extended-l2"] = header.geometry.extended_l2;
    if (header.external_data) {
      json["data-file"] = header.data_file;
      json["data-file-raw"] = header.raw_external_data;
    }
  }
  if (header.encryption == Encryption::aes) json["encrypt"]["format"] = "aes";
  if (facts.luks) json["encrypt"] = luks_json(*facts.luks);
  for (const Bitmap& bitmap : facts.bitmaps) json["bitmaps"].push_back(bitmap_json(bitmap));
  return json;
}

// Spaces become dashes, as in all keys.
std::string key_of(std::string name) {
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

Json blocks_json(const BlockFacts& facts) {
  Json json;
  if (!facts.subformat.empty()) json["subformat"] = facts.subformat;
  for (const BlockFact& fact : facts.others) {
    std::visit([&](const auto& value) { json[key_of(fact.name)] = value; }, fact.value);
  }
  return json;
}

void add_blocks(Json& json, const ImageFacts& facts) {
  const BlockFacts& blocks = *facts.blocks;
  if (blocks.block_size != 0) json["cluster-size"] = blocks.block_size;
  if (!blocks.backing_file.empty()) json["backing-filename"] = blocks.backing_file;
  json["format-specific"]["type"] = name_of(facts.format);
  json["format-specific"]["data"] = blocks_json(blocks);
}

void add_container(Json& json, const ImageFacts& facts) {
  const ContainerFacts& container = *facts.container;
  Json data;
  if (container.content) data["content-format"] = name_of(*container.content);
  if (!container.member.empty()) data["member"] = container.member;
  for (const auto& member : container.members) {
    Json entry;
    entry["name"] = member.name;
    entry["size"] = member.size;
    data["members"].push_back(entry);
  }
  for (const auto& disk : container.disks) {
    Json entry;
    entry["id"] = disk.id;
    entry["file"] = disk.file;
    if (disk.capacity) entry["capacity"] = *disk.capacity;
    data["disks"].push_back(entry);
  }
  json["format-specific"]["type"] = name_of(facts.format);
  json["format-specific"]["data"] = data;
}

Json facts_json(const ImageFacts& facts) {
  Json json;
  json["virtual-size"] = facts.virtual_size ? Json(*facts.virtual_size) : Json(nullptr);
  json["filename"] = facts.path;
  json["format"] = name_of(facts.format);
  json["actual-size"] = facts.allocated_size;
  json["dirty-flag"] =
      (facts.qcow2 && facts.qcow2->header.dirty) || (facts.blocks && facts.blocks->dirty);
  if (facts.blocks) add_blocks(json, facts);
  if (facts.container) add_container(json, facts);
  if (!facts.qcow2) return json;
  const Header& header = facts.qcow2->header;
  json["cluster-size"] = header.geometry.cluster_size();
  if (header.encryption != Encryption::none) json["encrypted"] = true;
  for (const Snapshot& snapshot : facts.qcow2->snapshots) {
    json["snapshots"].push_back(snapshot_json(snapshot));
  }
  json["format-specific"]["type"] = "qcow2";
  json["format-specific"]["data"] = qcow2_json(*facts.qcow2);
  if (!header.backing_file.empty()) {
    json["backing-filename"] = header.backing_file;
    json["full-backing-filename"] = formats::reference_path(facts.path, header.backing_file);
    if (!header.backing_format.empty()) json["backing-filename-format"] = header.backing_format;
  }
  return json;
}

// --- for people -----------------------------------------------------------------------------

std::string yes_or_no(bool value) { return value ? "true" : "false"; }

void print_snapshots(const std::vector<Snapshot>& snapshots) {
  if (snapshots.empty()) return;
  print("Snapshots:\n");
  for (const Snapshot& snapshot : snapshots) {
    print(fmt::format("    {} {}, disk {}, VM state {}\n", terminal_text(snapshot.id),
                      terminal_text(snapshot.name), human_size(snapshot.disk_size),
                      human_size(snapshot.vm_state_size)));
  }
}

void print_bitmaps(const std::vector<Bitmap>& bitmaps) {
  if (bitmaps.empty()) return;
  print("    bitmaps:\n");
  for (const Bitmap& bitmap : bitmaps) {
    print(fmt::format("        {}, granularity {}{}{}\n", terminal_text(bitmap.name),
                      human_size(std::uint64_t{1} << bitmap.granularity_bits),
                      bitmap.automatic ? ", auto" : "", bitmap.in_use ? ", in use" : ""));
  }
}

void print_qcow2(const Qcow2Facts& facts) {
  const Header& header = facts.header;
  print_snapshots(facts.snapshots);
  print("Format specific information:\n");
  print(fmt::format("    compat: {}\n", header.version == 2 ? "0.10" : "1.1"));
  print(fmt::format("    compression type: {}\n",
                    header.compression == Compression::zstd ? "zstd" : "zlib"));
  print(fmt::format("    refcount bits: {}\n", header.refcount_bits));
  if (header.version > 2) {
    print(fmt::format("    lazy refcounts: {}\n", yes_or_no(header.lazy_refcounts)));
    print(fmt::format("    dirty: {}\n", yes_or_no(header.dirty)));
    print(fmt::format("    corrupt: {}\n", yes_or_no(header.corrupt)));
    print(fmt::format("    extended l2: {}\n", yes_or_no(header.geometry.extended_l2)));
  }
  if (header.external_data) {
    print(fmt::format("    data file: {}\n", terminal_text(header.data_file)));
    print(fmt::format("    data file raw: {}\n", yes_or_no(header.raw_external_data)));
  }
  if (header.encryption == Encryption::aes) print("    encryption: AES\n");
  if (facts.luks) {
    print(fmt::format("    encryption: LUKS, {}, {}-{}, {}\n", terminal_text(facts.luks->cipher),
                      terminal_text(facts.luks->mode), terminal_text(facts.luks->iv),
                      terminal_text(facts.luks->uuid)));
  }
  print_bitmaps(facts.bitmaps);
}

void print_blocks(const BlockFacts& facts) {
  if (facts.block_size != 0) print(fmt::format("cluster size: {}\n", facts.block_size));
  if (!facts.backing_file.empty()) {
    print(fmt::format("backing file: {}\n", terminal_text(facts.backing_file)));
  }
  print("Format specific information:\n");
  if (!facts.subformat.empty()) print(fmt::format("    subformat: {}\n", facts.subformat));
  for (const BlockFact& fact : facts.others) {
    const auto* const text = std::get_if<std::string>(&fact.value);
    print(fmt::format("    {}: {}\n", fact.name,
                      text != nullptr ? terminal_text(*text)
                                      : fmt::to_string(std::get<std::uint64_t>(fact.value))));
  }
  if (facts.dirty) print("    dirty: true\n");
}

void print_container(const ContainerFacts& facts) {
  constexpr std::size_t most_members_shown = 50;
  if (!facts.member.empty()) print(fmt::format("member: {}\n", terminal_text(facts.member)));
  if (facts.content && *facts.content != formats::Format::raw) {
    print(fmt::format("holds: {}\n", name_of(*facts.content)));
  }
  if (!facts.disks.empty()) print("Disks of the appliance:\n");
  for (const auto& disk : facts.disks) {
    print(fmt::format("    {}: {}{}\n", terminal_text(disk.id), terminal_text(disk.file),
                      disk.capacity ? ", " + human_size(*disk.capacity) : ""));
  }
  if (!facts.members.empty()) print("Members:\n");
  for (std::size_t i = 0; i < facts.members.size() && i < most_members_shown; ++i) {
    print(fmt::format("    {}, {}\n", terminal_text(facts.members[i].name),
                      human_size(facts.members[i].size)));
  }
  if (facts.members.size() > most_members_shown) {
    print(fmt::format("    and {} more\n", facts.members.size() - most_members_shown));
  }
}

std::string unknown_size(const ImageFacts& facts) {
  const bool to_be_chosen =
      facts.container && !facts.container->members.empty() && facts.container->member.empty();
  return to_be_chosen ? "unknown until one is chosen with --member"
                      : "unknown until all of it is decoded (imgtool hash does)";
}

void print_facts(const ImageFacts& facts) {
  print(fmt::format("image: {}\n", terminal_text(facts.path)));
  print(fmt::format("file format: {}\n", name_of(facts.format)));
  if (facts.virtual_size) {
    print(fmt::format("virtual size: {} ({} bytes)\n", human_size(*facts.virtual_size),
                      *facts.virtual_size));
  } else {
    print(fmt::format("virtual size: {}\n", unknown_size(facts)));
  }
  print(fmt::format("disk size: {}\n", human_size(facts.allocated_size)));
  if (facts.blocks) print_blocks(*facts.blocks);
  if (facts.container) print_container(*facts.container);
  if (!facts.qcow2) return;
  const Header& header = facts.qcow2->header;
  print(fmt::format("cluster size: {}\n", header.geometry.cluster_size()));
  if (!header.backing_file.empty()) {
    const std::string path = formats::reference_path(facts.path, header.backing_file);
    print(fmt::format(
        "backing file: {}{}\n", terminal_text(header.backing_file),
        path == header.backing_file ? "" : fmt::format(" (actual path: {})", terminal_text(path))));
    if (!header.backing_format.empty()) {
      print(fmt::format("backing file format: {}\n", terminal_text(header.backing_format)));
    }
  }
  print_qcow2(*facts.qcow2);
}

void print_as_json(const std::vector<ImageFacts>& chain, bool as_array) {
  if (!as_array) {
    print_json(facts_json(chain.front()));
    return;
  }
  Json array = Json::array();
  for (const ImageFacts& facts : chain) array.push_back(facts_json(facts));
  print_json(array);
}

}  // namespace

int run_info(const Arguments& arguments) {
  std::string path;
  std::optional<formats::Format> format;
  bool backing_chain = false;
  AnswerFormat output = AnswerFormat::human;
  CommandLine line("info", "Shows what IMAGE says about itself, with the JSON keys of qemu-img.");
  line.argument("IMAGE", path, "image to look at; only its headers are read");
  line.option("format,f", format_into(format),
              "format of the image (default: its content decides)");
  line.option("backing-chain", flag_into(backing_chain),
              "open the backing files that the image names, and show them too");
  std::string member;
  line.option("member", text_into(member, "NAME"), "the image of this name in an archive");
  answer_format_option(line, output);
  line.exit_code(exit_code::refused, "the name of a backing file is not that of a local file");
  line.example("imgtool info golden.qcow2", "size, format and backing file of an image");
  line.example("imgtool info --json --backing-chain overlay.qcow2", "of all images below it, too");
  if (const auto exit = line.parse(arguments)) return *exit;

  const auto chain = formats::read_facts(path, format, backing_chain, member);
  for (const ImageFacts& facts : chain) note_writers(io::File(facts.path, O_RDONLY));
  if (line.common().json || output == AnswerFormat::json) {
    print_as_json(chain, backing_chain);
    return exit_code::done;
  }
  for (const ImageFacts& facts : chain) {
    if (&facts != &chain.front()) print("\n");
    if (output == AnswerFormat::qemu) {
      print(qemu_info(facts));
    } else {
      print_facts(facts);
    }
  }
  return exit_code::done;
}

}  // namespace imgtool
