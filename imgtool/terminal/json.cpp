#include "imgtool/terminal/json.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include <nlohmann/json.hpp>

namespace imgtool {
namespace {

using Document = nlohmann::ordered_json;

bool is_member(const Json& part) {
  const auto* pair = std::get_if<Json::Array>(&part.value());
  return pair != nullptr && pair->size() == 2 &&
         std::holds_alternative<std::string>(pair->front().value());
}

Document to_document(const Json& json);

Document to_document(const Json::Array& array) {
  Document document = Document::array();
  for (const Json& value : array) document.push_back(to_document(value));
  return document;
}

Document to_document(const Json::Object& object) {
  Document document = Document::object();
  for (const Json::Member& member : object) document[member.key] = to_document(member.value);
  return document;
}

Document to_document(const Json& json) {
  return std::visit(
      [](const auto& value) -> Document {
        using Type = std::decay_t<decltype(value)>;
        if constexpr (std::same_as<Type, Json::Array> || std::same_as<Type, Json::Object>) {
          return to_document(value);
        } else {
          return Document(value);
        }
      },
      json.value());
}

}  // namespace

Json::Json() = default;
Json::Json(std::nullptr_t) {}
Json::Json(bool value) : value_(value) {}
Json::Json(double value) : value_(value) {}
Json::Json(std::string value) : value_(std::move(value)) {}
Json::Json(std::string_view value) : value_(std::string(value)) {}
Json::Json(const char* value) : value_(std::string(value)) {}
Json::Json(Array value) : value_(std::move(value)) {}
Json::Json(Value value) : value_(std::move(value)) {}

Json::Json(std::initializer_list<Json> parts) {
  if (!std::all_of(parts.begin(), parts.end(), is_member)) {
    value_ = Array(parts);
    return;
  }
  Object object;
  for (const Json& part : parts) {
    const Array& pair = std::get<Array>(part.value_);
    object.push_back({std::get<std::string>(pair[0].value_), pair[1]});
  }
  value_ = std::move(object);
}

Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

Json Json::array() { return Json(Array()); }

const Json* Json::find(std::string_view key) const {
  const auto* object = std::get_if<Object>(&value_);
  if (object == nullptr) return nullptr;
  const auto found = std::find_if(object->begin(), object->end(),
                                  [&](const Member& member) { return member.key == key; });
  return found == object->end() ? nullptr : &found->value;
}

Json& Json::operator[](std::string_view key) {
  if (std::holds_alternative<std::nullptr_t>(value_)) value_ = Object();
  auto& object = std::get<Object>(value_);
  for (Member& member : object) {
    if (member.key == key) return member.value;
  }
  return object.emplace_back(Member{std::string(key), Json()}).value;
}

const Json& Json::at(std::string_view key) const {
  const Json* found = find(key);
  assert(found != nullptr);
  return *found;
}

bool Json::contains(std::string_view key) const { return find(key) != nullptr; }

void Json::push_back(Json value) {
  if (std::holds_alternative<std::nullptr_t>(value_)) value_ = Array();
  std::get<Array>(value_).push_back(std::move(value));
}

void Json::update(const Json& other) {
  for (const Member& member : std::get<Object>(other.value_)) (*this)[member.key] = member.value;
}

std::string Json::text(int indent) const {
  return to_document(*this).dump(indent, ' ', true, Document::error_handler_t::replace);
}

}  // namespace imgtool
