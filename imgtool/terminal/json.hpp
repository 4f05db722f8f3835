// A JSON value, to be put together and printed.
//
//   Json document = {{"image", path}, {"size", size}};   // pairs whose first is a text: an object
//   document["targets"] = Json::array();                 // null becomes what is put into it
//   document["targets"].push_back({{"path", "/dev/sdb"}, {"error", nullptr}});
//
// Keys keep the order in which they were put in. This stands before nlohmann/json.hpp because that
// takes five seconds to compile in each file which uses it; json.cpp alone does.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace imgtool {

class Json {
 public:
  struct Member;
  using Array = std::vector<Json>;
  using Object = std::vector<Member>;
  using Value = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string,
                             Array, Object>;

  Json();
  Json(std::nullptr_t);
  Json(bool value);
  Json(double value);
  Json(std::string value);
  Json(std::string_view value);
  Json(const char* value);
  Json(Array value);
  // An object when each part is a pair that begins with a text, else an array.
  Json(std::initializer_list<Json> parts);

  template <std::integral Number>
    requires(!std::same_as<Number, bool>)
  Json(Number value) : value_(static_cast<Whole<Number>>(value)) {}

  template <class Part>
    requires(!std::same_as<Part, Json> && std::constructible_from<Json, const Part&>)
  Json(const std::vector<Part>& values) : Json(Array(values.begin(), values.end())) {}

  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();

  [[nodiscard]] static Json array();

  // The member of that name, made when there is none; of an object, or of null, which becomes one.
  Json& operator[](std::string_view key);
  // The member of that name, which the object has.
  [[nodiscard]] const Json& at(std::string_view key) const;
  [[nodiscard]] bool contains(std::string_view key) const;
  // To an array, or to null, which becomes one.
  void push_back(Json value);
  // All members of `other`, an object, in place of those of the same names.
  void update(const Json& other);

  [[nodiscard]] const Value& value() const noexcept { return value_; }
  [[nodiscard]] bool is_null() const noexcept {
    return std::holds_alternative<std::nullptr_t>(value_);
  }

  // In ASCII, as qemu-img prints it: no terminal and no locale can be upset by it. Bytes that are
  // not UTF-8 become U+FFFD. `indent`: spaces a level; negative: all on one line.
  [[nodiscard]] std::string text(int indent) const;

 private:
  template <std::integral Number>
  using Whole = std::conditional_t<std::is_signed_v<Number>, std::int64_t, std::uint64_t>;

  explicit Json(Value value);
  [[nodiscard]] const Json* find(std::string_view key) const;

  Value value_;
};

struct Json::Member {
  std::string key;
  Json value;
};

}  // namespace imgtool
