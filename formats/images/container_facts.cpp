#include "formats/images/container_facts.hpp"

#include <memory>
#include <utility>

#include "formats/images/archives/tar/appliance.hpp"
#include "formats/images/archives/tar/member.hpp"
#include "formats/images/archives/zip/member.hpp"
#include "formats/images/probe.hpp"
#include "formats/images/streams/decoder.hpp"
#include "formats/images/streams/file_stream.hpp"
#include "formats/images/streams/peek_stream.hpp"
#include "formats/images/streams/stream_image.hpp"
#include "formats/images/vmdk/header.hpp"
#include "formats/images/vmdk/stream.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

using SizeOf = std::function<std::optional<std::uint64_t>(io::File)>;

// Of what is packed, as far as its first bytes tell. `size`: of all that is unpacked.
void look_at(std::unique_ptr<io::ByteStream> bytes, std::optional<std::uint64_t> size,
             const std::string& name, ContainerFacts& facts) {
  streams::PeekStream stream(std::move(bytes));
  const auto start = stream.peek(probe_bytes);
  facts.content = probe(start);
  if (facts.content == Format::raw) facts.virtual_size = size;
  if (vmdk::is_stream(start)) {
    facts.virtual_size = vmdk::parse_header(start, 0, name).capacity * vmdk::sector;
  }
}

void look_at_window(io::File window, const SizeOf& size_of, ContainerFacts& facts) {
  facts.content = probe(window);
  if (!is_archive(*facts.content)) facts.virtual_size = size_of(std::move(window));
}

// False: the user has to choose, or there is none.
bool choose(ContainerFacts& facts, const std::string& wanted, std::size_t& index,
            const std::function<std::size_t()>& chooser) {
  try {
    index = chooser();
  } catch (const io::Error& error) {
    if (error.kind() != io::ErrorKind::refused || !wanted.empty()) throw;
    return false;
  }
  facts.member = facts.members[index].name;
  return true;
}

ContainerFacts zip_facts(const io::File& file, const std::string& wanted, const SizeOf& size_of) {
  ContainerFacts facts;
  const zip::Directory directory = zip::read_directory(file);
  archives::MemberList list(file.path());
  for (const zip::Member& member : directory.members) list.add(member.name, member.size);
  facts.members = list.members();
  std::size_t index = 0;
  if (!choose(facts, wanted, index, [&] { return archives::choose_member(list, wanted); })) {
    return facts;
  }
  const zip::Member& member = directory.members[index];
  zip::refuse_unreadable(file, member);
  const io::ByteRange data = zip::data_of(file, directory, member);
  if (member.method == zip::stored) {
    look_at_window(file.window(data, member.name), size_of, facts);
  } else {
    look_at(zip::open_member(file, member, data, member.name, nullptr), member.size, member.name,
            facts);
  }
  return facts;
}

ContainerFacts tar_facts(const io::File& file, const std::string& wanted, const SizeOf& size_of) {
  ContainerFacts facts;
  archives::MemberList list(file.path());
  const auto members = tar::list_members(file, list);
  const tar::Appliance appliance = tar::read_appliance(file, members);
  facts.members = list.members();
  facts.disks = appliance.disks;
  std::size_t index = 0;
  if (!choose(facts, wanted, index, [&] { return tar::choose_disk(list, appliance, wanted); })) {
    return facts;
  }
  const tar::Member member = tar::read_member(file, members[index]);
  if (member.sparse) {
    look_at(tar::open_member(file, member, member.name, nullptr), member.size, member.name, facts);
  } else {
    look_at_window(file.window(member.data, member.name), size_of, facts);
  }
  return facts;
}

// What is damaged at its start already is a stream still, and says its size.
ContainerFacts stream_facts(const io::File& file, Format format) {
  ContainerFacts facts;
  facts.virtual_size = streams::stated_content_size(file, format);
  if (file.status().kind != io::FileKind::regular) return facts;
  try {
    auto input = std::make_unique<streams::FileStream>(file.reopened(), nullptr);
    const auto size = std::exchange(facts.virtual_size, std::nullopt);
    look_at(std::make_unique<streams::Decoder>(streams::make_codec(format), std::move(input),
                                               file.path()),
            size, file.path(), facts);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::system) throw;
  }
  return facts;
}

}  // namespace

ContainerFacts read_container_facts(const io::File& file, Format format, const std::string& wanted,
                                    const SizeOf& size_of) {
  if (format == Format::zip) return zip_facts(file, wanted, size_of);
  if (format == Format::tar) return tar_facts(file, wanted, size_of);
  return stream_facts(file, format);
}

}  // namespace formats
