#include "worker/about.hpp"

#include <nlohmann/json.hpp>

namespace millrace::worker {

About read_about(std::string_view text) {
  About about;
  if (text.empty()) return about;
  const auto json = nlohmann::json::parse(text);
  const auto read = [&](const char* name, std::optional<std::string>& into) {
    if (const auto found = json.find(name); found != json.end() && found->is_string()) into = found->get<std::string>();
  };
  read("correlation", about.correlation);
  read("tenant", about.tenant);
  read("traceparent", about.traceparent);
  if (const auto found = json.find("metadata"); found != json.end()) found->get_to(about.metadata);
  return about;
}

}  // namespace millrace::worker
