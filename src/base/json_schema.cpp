#include <millrace/json_schema.hpp>

#include "base/json_text.hpp"

// Without it a schema that is none ends the process.
#define VALIJSON_USE_EXCEPTIONS 1

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include <regex>

namespace millrace {
namespace {

using Adapter = valijson::adapters::NlohmannJsonAdapter;

// std::regex recurses once or more for each byte it reads: a long text would overflow the stack.
constexpr std::size_t pattern_text_bytes_max = 4096;

// Whether a schema has patterns. Throws std::regex_error for one that is no regular expression: better now than in a run.
bool try_patterns(const nlohmann::json& node) {
  bool any = false;
  if (node.is_object()) {
    for (const auto& [name, value] : node.items()) {
      // Values, not schemas.
      if (name == "const" || name == "enum" || name == "default" || name == "examples") continue;
      if (name == "pattern" && value.is_string()) {
        static_cast<void>(std::regex(value.get<std::string>()));
        any = true;
      }
      if (name == "patternProperties" && value.is_object()) {
        for (const auto& property : value.items()) static_cast<void>(std::regex(property.key()));
        any = true;
      }
      any = try_patterns(value) || any;
    }
  } else if (node.is_array()) {
    for (const auto& value : node) any = try_patterns(value) || any;
  }
  return any;
}

// The path to a text, or to a member with a name, that is longer than a pattern may be asked about.
std::optional<std::string> long_text(const nlohmann::json& node, const std::string& path) {
  if (node.is_string() && node.get_ref<const std::string&>().size() > pattern_text_bytes_max) return path.empty() ? "/" : path;
  if (node.is_object()) {
    for (const auto& [name, value] : node.items()) {
      if (name.size() > pattern_text_bytes_max) return path.empty() ? "/" : path;
      if (auto found = long_text(value, fmt::format("{}/{}", path, name))) return found;
    }
  } else if (node.is_array()) {
    for (std::size_t i = 0; i < node.size(); ++i) {
      if (auto found = long_text(node[i], fmt::format("{}/{}", path, i))) return found;
    }
  }
  return {};
}

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
};

JsonSchema::JsonSchema(std::string_view text) {
  base::check_json("schema", text, true);
  auto impl = std::make_shared<Impl>();
  impl->text = text;
  const auto document = nlohmann::json::parse(text);
  try {
    impl->patterns = try_patterns(document);
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(Adapter(document), impl->schema);
  } catch (const std::exception& e) {
    throw InvalidArgument("schema", std::string("is no JSON Schema of draft 7: ") + e.what());
  }
  impl_ = std::move(impl);
}

std::optional<std::string> JsonSchema::problem(std::string_view json) const {
  const auto document = nlohmann::json::parse(json, nullptr, false);
  if (document.is_discarded()) return "/: is no JSON";
  if (impl_->patterns) {
    if (const auto path = long_text(document, ""))
      return fmt::format("{}: is too long to be matched with a pattern; allowed are {} bytes", *path, pattern_text_bytes_max);
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
