// Where in a JSON document a from_json() failed: nlohmann's messages say what, but not where.
#pragma once

#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include <millrace/outcome.hpp>

namespace millrace::detail {

/// Finds the value that a conversion objects to, by asking it again about the document with one value changed at a time:
/// if the complaint then names the new type, or is gone with a key that was missing, that is the place. For documents of at most a
/// thousand values; empty if it cannot be told.
class FailingPath {
 public:
  /// `convert` throws what it has to say about a document.
  FailingPath(nlohmann::json document, std::function<void(const nlohmann::json&)> convert)
      : document_(std::move(document)), convert_(std::move(convert)) {}

  [[nodiscard]] std::string find() {
    constexpr int values_max = 1000;
    if (count(document_, values_max) > values_max) return {};
    complaint_ = complaint();
    if (complaint_.empty()) return {};
    return search(document_, "");
  }

 private:
  static std::string below(std::string path, const std::string& name) { return path.append(1, '/').append(name); }
  static int count(const nlohmann::json& node, int most) {
    int values = 1;
    if (node.is_structured()) {
      for (const auto& one : node) {
        values += count(one, most - values);
        if (values > most) break;
      }
    }
    return values;
  }
  std::string complaint() {
    try {
      convert_(document_);
    } catch (const std::exception& e) {
      return text_of(e);
    } catch (...) {
    }
    return {};
  }
  std::string search(nlohmann::json& node, const std::string& path) {
    if (const std::string missing = missing_key(); node.is_object() && !missing.empty() && !node.contains(missing)) {
      node[missing] = nullptr;
      const bool here = complaint() != complaint_;
      node.erase(missing);
      if (here) return below(path, missing);
    }
    if (is_it(node)) return path.empty() ? "/" : path;
    if (node.is_object()) {
      for (auto& [name, value] : node.items()) {
        if (std::string found = search(value, below(path, name)); !found.empty()) return found;
      }
    } else if (node.is_array()) {
      for (std::size_t i = 0; i < node.size(); ++i) {
        if (std::string found = search(node[i], below(path, std::to_string(i))); !found.empty()) return found;
      }
    }
    return {};
  }
  // Whether the complaint, which ends with this value's type, ends with another type once this value has that.
  bool is_it(nlohmann::json& node) {
    const std::string type = node.type_name();
    if (!complaint_.ends_with(type)) return false;
    const std::string_view before = std::string_view(complaint_).substr(0, complaint_.size() - type.size());
    nlohmann::json other = nlohmann::json::array();
    for (nlohmann::json candidate : {nlohmann::json::array(), nlohmann::json::object(), nlohmann::json("text")}) {
      // Neither the type that it has nor, where the complaint says it, the one that it should have.
      if (candidate.type_name() == type || before.find(std::string("must be ") + candidate.type_name()) != std::string_view::npos) continue;
      other = std::move(candidate);
      break;
    }
    const std::string expected = std::string(before) + other.type_name();
    std::swap(node, other);
    const bool here = complaint() == expected;
    std::swap(node, other);
    return here;
  }
  [[nodiscard]] std::string missing_key() const {
    constexpr std::string_view begin = "key '";
    constexpr std::string_view end = "' not found";
    const std::size_t at = complaint_.find(begin);
    if (at == std::string::npos || !complaint_.ends_with(end)) return {};
    return complaint_.substr(at + begin.size(), complaint_.size() - end.size() - at - begin.size());
  }

  nlohmann::json document_;
  std::function<void(const nlohmann::json&)> convert_;
  std::string complaint_;
};

/// What the exception says, without the number that nlohmann puts before it.
inline std::string plain_message(const std::exception& e) {
  const std::string whole = text_of(e);
  std::string_view text = whole;
  if (text.starts_with("[json.exception.")) {
    if (const std::size_t end = text.find("] "); end != std::string_view::npos) text.remove_prefix(end + 2);
  }
  return std::string(text);
}

}  // namespace millrace::detail
