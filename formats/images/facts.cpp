#include "formats/images/facts.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "formats/images/block_formats.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/reference.hpp"
#include "formats/images/simg/layout.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

Qcow2Facts qcow2_facts(const io::File& file) {
  Qcow2Facts facts;
  facts.header = qcow2::read_header(file);
  const qcow2::TableReader tables(file);
  facts.snapshots = qcow2::read_snapshots(tables, facts.header).snapshots;
  if (facts.header.bitmaps_consistent) facts.bitmaps = qcow2::read_bitmaps(tables, facts.header);
  facts.luks = qcow2::read_luks(tables, facts.header);
  return facts;
}

// Opening a pipe that has no writer would wait for ever.
io::File open_image_file(const std::string& path) {
  const io::FileKind kind = io::status_of(path).kind;
  if (kind != io::FileKind::regular && kind != io::FileKind::block_device) {
    throw io::Error(io::ErrorKind::unsupported, path, "is neither a file nor a disk");
  }
  return {path, O_RDONLY};
}

ImageFacts facts_of(const FormattedFile& opened, const std::string& member);

// Of what an archive holds as it is.
std::optional<std::uint64_t> size_of(io::File file) {
  FormattedFile inner{std::move(file)};
  inner.format = probe(inner.file);
  return facts_of(inner, {}).virtual_size;
}

ImageFacts facts_of(const FormattedFile& opened, const std::string& member) {
  ImageFacts facts;
  facts.path = opened.file.path();
  facts.format = opened.format;
  facts.allocated_size = allocated_size_of(opened.file);
  if (opened.format == Format::qcow2) {
    facts.qcow2 = qcow2_facts(opened.file);
    facts.virtual_size = facts.qcow2->header.virtual_size;
  } else if (opened.format == Format::simg) {
    facts.virtual_size = simg::read_layout(opened.file).content_size;
  } else if (is_block_format(opened.format)) {
    facts.blocks = read_block_facts(opened.file, opened.format);
    facts.virtual_size = facts.blocks->virtual_size;
  } else if (is_stream(opened.format) || is_archive(opened.format)) {
    facts.container = read_container_facts(opened.file, opened.format, member, size_of);
    facts.virtual_size = facts.container->virtual_size;
  } else {
    facts.virtual_size = opened.file.size();
  }
  return facts;
}

}  // namespace

std::uint64_t allocated_size_of(const io::File& file) {
  struct stat status {};
  return fstat(file.fd(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
}

std::vector<ImageFacts> read_facts(const std::string& path, std::optional<Format> format,
                                   bool follow_backing, const std::string& member) {
  ReferenceChain chain;
  std::vector<ImageFacts> facts;
  facts.push_back(facts_of(chain.begin(open_image_file(path), format), member));
  if (!member.empty() && !is_archive(facts.back().format)) {
    throw io::Error::refusal(path, "is no archive, and has no members");
  }
  while (follow_backing && facts.back().qcow2) {
    const qcow2::Header& header = facts.back().qcow2->header;
    if (header.backing_file.empty()) break;
    facts.push_back(facts_of(
        chain.open_next(facts.back().path, header.backing_file, header.backing_format), {}));
  }
  return facts;
}

}  // namespace formats
