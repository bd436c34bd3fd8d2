#include <millrace/json_schema.hpp>

#include "base/json_text.hpp"

// Without it a schema that is none ends the process.
#define VALIJSON_USE_EXCEPTIONS 1

#include <millrace/limits.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include <algorithm>
#include <cstdint>
#include <regex>
#include <set>
#include <unordered_map>
#include <utility>

namespace millrace {
namespace {

using Adapter = valijson::adapters::NlohmannJsonAdapter;

// std::regex recurses once or more for each byte it reads: a long text would overflow the stack.
constexpr std::size_t pattern_text_bytes_max = 4096;
// Each element is compared with each, and each equal pair is an error that is kept.
constexpr std::size_t unique_elements_max = 1000;

// How far valijson may recurse while it reads a schema, and at one place of a document: the stack must do for both, also
// where a document has all the levels that it may have.
constexpr int reading_depth_max = 500;
constexpr int same_place_max = 16;

[[noreturn]] void refuse(const std::string& problem) { throw InvalidArgument("schema", problem); }

// Calls each(schema, same_place) for the schemas within one, in the order in which valijson reads them. same_place: it is
// asked about the same value of the document, not about one of its members.
template <class Each>
void for_each_within(const nlohmann::json& schema, const Each& each) {
  const auto look = [&](const char* keyword, bool same_place) {
    const auto found = schema.find(keyword);
    if (found == schema.end()) return;
    if (found->is_array()) {
      for (const auto& one : *found) each(one, same_place);
    } else {
      each(*found, same_place);
    }
  };
  const auto look_by_name = [&](const char* keyword, bool same_place) {
    const auto found = schema.find(keyword);
    if (found == schema.end() || !found->is_object()) return;
    for (const auto& one : *found) each(one, same_place);
  };
  for (const char* keyword : {"allOf", "anyOf"}) look(keyword, true);
  look("contains", false);
  look_by_name("dependencies", true);
  for (const char* keyword : {"items", "additionalItems"}) look(keyword, false);
  for (const char* keyword : {"if", "then", "else", "not", "oneOf"}) look(keyword, true);
  for (const char* keyword : {"properties", "patternProperties"}) look_by_name(keyword, false);
  for (const char* keyword : {"additionalProperties", "propertyNames"}) look(keyword, false);
}

// What valijson takes and then ends the process with: it trusts that a schema does not divide by zero and that its
// references lead on. Goes the way that valijson goes, so only what is read is judged, and all of it.
class Inspection {
 public:
  explicit Inspection(const nlohmann::json& root) : root_(root) {
    read(root, 0);
    if (ids_ && !read_.empty()) refuse("has both \"id\" and \"$ref\"; allowed with references is \"$id\"");
  }
  // Whether texts are matched with regular expressions.
  [[nodiscard]] bool patterns() const noexcept { return patterns_; }
  [[nodiscard]] bool uniques() const noexcept { return uniques_; }

 private:
  const nlohmann::json& root_;
  std::set<std::string> read_{};
  std::unordered_map<const nlohmann::json*, int> heights_{};
  bool patterns_ = false;
  bool uniques_ = false;
  bool ids_ = false;

  static const std::string* reference(const nlohmann::json& schema) {
    if (!schema.is_object()) return nullptr;
    const auto found = schema.find("$ref");
    if (found == schema.end()) return nullptr;
    if (!found->is_string()) refuse("has a $ref that is no string");
    return found->get_ptr<const std::string*>();
  }

  // valijson's way with pointers: empty parts do not count.
  const nlohmann::json& target(const std::string& ref) const {
    if (ref.empty() || ref[0] != '#' || (ref.size() > 1 && ref[1] != '/'))
      refuse(fmt::format("has $ref \"{}\"; allowed is a place in the same schema: # or #/…", ref));
    if (ref.find('%') != std::string::npos) refuse(fmt::format("has $ref \"{}\"; allowed is one without %", ref));
    const nlohmann::json* at = &root_;
    for (std::size_t begin = 1; begin < ref.size();) {
      const std::size_t end = std::min(ref.find('/', begin + 1), ref.size());
      std::string part = ref.substr(begin + 1, end - begin - 1);
      begin = end;
      if (part.empty()) continue;
      for (const auto& [from, to] : {std::pair{"~1", "/"}, std::pair{"~0", "~"}}) {
        for (std::size_t found = 0; (found = part.find(from, found)) != std::string::npos; ++found) part.replace(found, 2, to);
      }
      const nlohmann::json* next = nullptr;
      if (at->is_object() && at->contains(part)) {
        next = &at->at(part);
      } else if (at->is_array() && part.size() < 10 && part.find_first_not_of("0123456789") == std::string::npos) {
        const std::size_t index = std::stoul(part);
        if (index < at->size()) next = &(*at)[index];
      }
      if (next == nullptr) refuse(fmt::format("has $ref \"{}\", which leads nowhere", ref));
      at = next;
    }
    return *at;
  }

  // Each reference is followed once, by its text, and everything else as often as it is met.
  void read(const nlohmann::json& schema, int depth) {
    if (depth > reading_depth_max) refuse(fmt::format("leads from schema to schema more than {} times", reading_depth_max));
    if (!schema.is_object()) return;
    static_cast<void>(height(schema, 0));
    if (const std::string* ref = reference(schema)) {
      const nlohmann::json& found = target(*ref);
      // valijson takes such names for what the reference leads to.
      if (found.is_object() && !found.contains("$ref") && found.contains("propertyNames"))
        refuse(fmt::format("has propertyNames where $ref \"{}\" leads; allowed are they where no reference leads", *ref));
      if (read_.insert(*ref).second) read(found, depth + 1);
      return;
    }
    judge(schema);
    for_each_within(schema, [&](const nlohmann::json& one, bool) { read(one, depth + 1); });
  }

  // How often valijson calls itself for one place of the document.
  int height(const nlohmann::json& schema, int depth) {
    if (!schema.is_object()) return 0;
    if (depth > reading_depth_max) refuse(fmt::format("leads from schema to schema more than {} times", reading_depth_max));
    constexpr int under_way = -1;
    const auto [known, first] = heights_.try_emplace(&schema, under_way);
    if (!first) {
      if (known->second == under_way) refuse("refers to itself for the same value; allowed is that only for its items and properties");
      return known->second;
    }
    int most = 0;
    if (const std::string* ref = reference(schema)) {
      most = height(target(*ref), depth + 1);
    } else {
      for_each_within(schema, [&](const nlohmann::json& one, bool same_place) {
        if (same_place) most = std::max(most, 1 + height(one, depth + 1));
      });
    }
    if (most > same_place_max) refuse(fmt::format("asks about one value through more than {} schemas within each other", same_place_max));
    return heights_[&schema] = most;
  }

  // The keywords that are no schemas. Throws std::regex_error: better now than in a run.
  void judge(const nlohmann::json& schema) {
    for (const auto& [name, value] : schema.items()) {
      if (name == "multipleOf") {
        // Above int64 it becomes a negative number.
        const bool positive = value.is_number_unsigned() ? value.get<std::uint64_t>() > 0 && value.get<std::uint64_t>() <= INT64_MAX
                                                         : value.is_number_float() && value.get<double>() > 0;
        if (!positive)
          refuse(fmt::format("has multipleOf {}; allowed is a number from above 0 to 2^63 - 1",
                             value.is_number() ? value.dump() : value.type_name()));
      } else if (name == "pattern" && value.is_string()) {
        static_cast<void>(std::regex(value.get<std::string>()));
        patterns_ = true;
      } else if (name == "patternProperties" && value.is_object()) {
        for (const auto& property : value.items()) static_cast<void>(std::regex(property.key()));
        patterns_ = true;
      } else if (name == "format") {
        patterns_ = true;  // dates and times are matched too
      } else if (name == "uniqueItems") {
        uniques_ = true;
      } else if (name == "id" && value.is_string()) {
        ids_ = true;
      }
    }
  }
};

// What valijson should not be asked about, with the path to it.
class Excess {
 public:
  Excess(bool patterns, bool uniques) : patterns_(patterns), uniques_(uniques) {}

  std::optional<std::string> find(const nlohmann::json& node, const std::string& path) const {
    if (node.is_string() && too_long(node.get_ref<const std::string&>())) return told_of_text(path);
    if (node.is_object()) {
      for (const auto& [name, value] : node.items()) {
        if (too_long(name)) return told_of_text(path);
        if (auto found = find(value, fmt::format("{}/{}", path, name))) return found;
      }
    } else if (node.is_array()) {
      if (uniques_ && node.size() > unique_elements_max)
        return fmt::format("{}: has {} elements; allowed are {} where uniqueItems is asked for", path.empty() ? "/" : path, node.size(),
                           unique_elements_max);
      for (std::size_t i = 0; i < node.size(); ++i) {
        if (auto found = find(node[i], fmt::format("{}/{}", path, i))) return found;
      }
    }
    return {};
  }

 private:
  [[nodiscard]] bool too_long(const std::string& text) const { return patterns_ && text.size() > pattern_text_bytes_max; }
  static std::string told_of_text(const std::string& path) {
    return fmt::format("{}: is too long to be matched with a pattern; allowed are {} bytes", path.empty() ? "/" : path,
                       pattern_text_bytes_max);
  }
  bool patterns_;
  bool uniques_;
};

// valijson names places as {"<root>", "[items]", "[3]"}.
std::string path_of(const std::vector<std::string>& context) {
  std::string path;
  for (std::size_t i = 1; i < context.size(); ++i) {
    std::string_view part = context[i];
    if (part.size() >= 2 && part.front() == '[' && part.back() == ']') part = part.substr(1, part.size() - 2);
    path.append(1, '/').append(part);
  }
  return path.empty() ? "/" : path;
}

}  // namespace

struct JsonSchema::Impl {
  std::string text;
  valijson::Schema schema{};
  bool patterns = false;
  bool uniques = false;
};

JsonSchema::JsonSchema(std::string_view text) {
  base::check_json("schema", text, true);
  auto impl = std::make_shared<Impl>();
  impl->text = text;
  try {
    const auto document = nlohmann::json::parse(text);
    const Inspection inspection(document);
    impl->patterns = inspection.patterns();
    impl->uniques = inspection.uniques();
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(Adapter(document), impl->schema);
  } catch (const InvalidArgument&) {
    throw;
  } catch (const std::exception& e) {
    throw InvalidArgument("schema", std::string("is no JSON Schema of draft 7: ") + e.what());
  }
  impl_ = std::move(impl);
}

std::optional<std::string> JsonSchema::problem(std::string_view json) const {
  // First of all its levels are counted: everything from here on recurses.
  if (!base::is_json(json)) return fmt::format("/: is no JSON of at most {} levels", limits::nesting_max);
  const auto document = nlohmann::json::parse(json, nullptr, false);
  if (document.is_discarded()) return "/: is no JSON";
  if (impl_->patterns || impl_->uniques) {
    if (auto found = Excess(impl_->patterns, impl_->uniques).find(document, "")) return found;
  }
  valijson::ValidationResults results;
  try {
    if (valijson::Validator().validate(impl_->schema, Adapter(document), &results)) return {};
  } catch (const std::exception& e) {
    return fmt::format("/: cannot be checked: {}", e.what());
  }
  valijson::ValidationResults::Error first;
  if (!results.popError(first)) return "/: does not fit";
  std::string description = first.description;
  if (description.ends_with('.')) description.pop_back();
  // Numbers come with six decimals.
  if (const std::size_t point = description.rfind('.'); point != std::string::npos && point + 7 == description.size() &&
                                                        description.find_first_not_of("0123456789", point + 1) == std::string::npos) {
    description.erase(description.find_last_not_of('0') + 1);
    if (description.ends_with('.')) description.pop_back();
  }
  return fmt::format("{}: {}", path_of(first.context), description);
}

const std::string& JsonSchema::text() const noexcept { return impl_->text; }

}  // namespace millrace
