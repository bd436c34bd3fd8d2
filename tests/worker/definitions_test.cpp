// Definitions: what a program says of its tasks, and who else gets to know.
#include "worker/house.hpp"

#include <fmt/format.h>
#include <pqxx/pqxx>

#include <stdexcept>

using namespace millrace;
using namespace millrace::test;

namespace {

struct Line {
  std::string item;
  double price = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Line, item, price)

struct Order {
  int id = 0;
  std::vector<Line> lines{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Order, id, lines)

struct Picky {
  int n = 0;
};
void to_json(nlohmann::json& json, const Picky& picky) { json = {{"n", picky.n}}; }
void from_json(const nlohmann::json& json, Picky& picky) {
  json.at("n").get_to(picky.n);
  if (picky.n == 13) throw std::invalid_argument("13 brings bad luck");
}

constexpr const char* order_schema = R"({
  "type": "object", "required": ["id", "lines"],
  "properties": {
    "id": {"type": "integer", "minimum": 1},
    "lines": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number", "minimum": 0}}}}}})";

std::string last_error(House& house, TaskId id) { return house.client.get(id)->errors.back().message; }

}  // namespace

TEST_CASE("args that cannot be read: a dead letter at once, with the path to what is wrong") {
  House house;
  Worker worker(house.options());
  worker.handle(Task<Order>("order"), [](const Order&, Context&) {});
  worker.handle(Task<Picky>("picky"), [](const Picky&, Context&) {});
  worker.start();
  const auto refused = [&](const char* kind, const char* args) {
    const auto id = house.client.enqueue(kind, args).id;
    REQUIRE(house.reaches(id, Status::failed));
    CHECK(house.client.get(id)->attempt == 1);
    return last_error(house, id);
  };
  CHECK(refused("order", R"({"id": 1, "lines": [{"item": "wheel", "price": 2}, {"item": "rope", "price": "cheap"}]})") ==
        "the args cannot be read: /lines/1/price: type must be number, but is string");
  CHECK(refused("order", R"({"id": 1, "lines": [{"item": "wheel", "price": 2}, {"price": 3}]})") ==
        "the args cannot be read: /lines/1/item: key 'item' not found");
  CHECK(refused("order", R"({"lines": []})") == "the args cannot be read: /id: key 'id' not found");
  CHECK(refused("order", R"({"id": 1, "lines": {"a": 1}})") == "the args cannot be read: /lines: type must be array, but is object");
  CHECK(refused("picky", R"({"n": 13})") == "the args cannot be read: 13 brings bad luck");
}

TEST_CASE("a schema is checked at enqueue and before the handler") {
  House house;
  std::atomic<int> runs{0};
  const Task<Order> order = Task<Order>("order").with_schema(JsonSchema(order_schema));
  Worker worker(house.options());
  worker.handle(order, [&](const Order&, Context&) { ++runs; });
  worker.handle_raw("raw", [&](Context&) -> Outcome<std::string> { return std::to_string(++runs); }, {.schema = JsonSchema(order_schema)});
  worker.start();
  CHECK_THROWS_WITH_AS((void)order.enqueue(house.client, {.id = 1, .lines = {{"wheel", 2}, {"rope", -1}}}),
                       "args do not fit the schema: /lines/1/price: Expected number greater than or equal to 0", InvalidArgument);
  CHECK_THROWS_AS((void)order.enqueue_many(house.client, std::vector<Order>{{.id = 1}, {.id = 0}}), InvalidArgument);
  CHECK(house.count("tasks") == 0);
  // Whoever enqueues by other ways is told by the task.
  for (const char* kind : {"order", "raw"}) {
    const auto bad = house.client.enqueue(kind, R"({"id": 0, "lines": []})").id;
    REQUIRE(house.reaches(bad, Status::failed));
    CHECK(house.client.get(bad)->attempt == 1);
    CHECK(last_error(house, bad) == "the args do not fit the schema: /id: Expected number greater than or equal to 1");
  }
  CHECK(runs == 0);
  const auto good = order.enqueue(house.client, {.id = 1, .lines = {{"wheel", 2}}}).id;
  const auto raw = house.client.enqueue("raw", R"({"id": 1, "lines": []})").id;
  REQUIRE(house.reaches(good, Status::completed));
  REQUIRE(house.reaches(raw, Status::completed));
  CHECK(runs == 2);
  // The preflight reads as the worker does.
  house.client.enqueue("order", R"({"id": 0, "lines": []})", {.delay = 1h});
  const auto found = worker.preflight();
  REQUIRE(found.size() == 1);
  CHECK(found[0].unreadable == 1);
  CHECK(found[0].examples[0].problem.starts_with("the args do not fit the schema: /id"));
}

TEST_CASE("a result that does not fit its schema fails for good") {
  House house;
  const auto task = Task<Picky, int>("result").with_result_schema(JsonSchema(R"({"type": "integer", "maximum": 9})"));
  Worker worker(house.options());
  worker.handle(task, [](const Picky& picky, Context&) { return picky.n; });
  worker.start();
  const auto good = task.enqueue(house.client, {9}).id;
  const auto bad = task.enqueue(house.client, {10}).id;
  REQUIRE(house.reaches(good, Status::completed));
  CHECK(task.result(*house.client.get(good)) == 9);
  REQUIRE(house.reaches(bad, Status::failed));
  CHECK(house.client.get(bad)->attempt == 1);
  CHECK(last_error(house, bad).starts_with("the result does not fit its schema: /: "));
}

TEST_CASE("what is no schema is refused") {
  CHECK_THROWS_AS(JsonSchema("["), InvalidArgument);
  CHECK_THROWS_AS(JsonSchema("[]"), InvalidArgument);
  CHECK_THROWS_WITH_AS(JsonSchema(R"({"type": "strin"})"), "schema is no JSON Schema of draft 7: Unrecognised JSON type name 'strin'",
                       InvalidArgument);
  CHECK_THROWS_AS(JsonSchema(R"({"properties": {"a": {"pattern": "("}}})"), InvalidArgument);
  CHECK_THROWS_AS(JsonSchema(R"({"$ref": "http://example.org/schema"})"), InvalidArgument);
  CHECK_THROWS_AS(JsonSchema(R"({"minimum": 1e999})"), InvalidArgument);
  // What would divide by zero, or overflow.
  for (const char* number : {"0", "-1", "0.0", "-0.5", "18446744073709551615", "\"0\"", "null"}) {
    CAPTURE(number);
    const std::string schema = fmt::format(R"({{"properties": {{"n": {{"multipleOf": {}}}}}}})", number);
    CHECK_THROWS_AS(JsonSchema{schema}, InvalidArgument);
  }
  CHECK_THROWS_WITH(JsonSchema(R"({"multipleOf": 0})"), "schema has multipleOf 0; allowed is a number from above 0 to 2^63 - 1");
  CHECK(JsonSchema(R"({"multipleOf": 3})").problem("7") != std::nullopt);
  CHECK(JsonSchema(R"({"multipleOf": 3})").problem("-9223372036854775808") != std::nullopt);
  CHECK(JsonSchema(R"({"multipleOf": 0.5})").problem("7") == std::nullopt);
  // Names of properties are no keywords.
  CHECK(JsonSchema(R"({"properties": {"multipleOf": {"type": "integer"}, "$ref": {"type": "string"}}, "default": {"multipleOf": 0}})")
            .problem(R"({"multipleOf": 0, "$ref": "#"})") == std::nullopt);
  // But what a reference leads to is a schema, wherever it is.
  CHECK_THROWS_AS(JsonSchema(R"({"default": {"multipleOf": 0}, "items": {"$ref": "#/default"}})"), InvalidArgument);
  const JsonSchema unique(R"({"properties": {"a": {"uniqueItems": true}}})");
  CHECK(unique.problem(R"({"a": [1, 2, 3]})") == std::nullopt);
  CHECK(unique.problem(R"({"a": [1, 2, 1]})").has_value());
  CHECK(unique.problem(nlohmann::json{{"a", std::vector<int>(1001, 1)}}.dump()) ==
        "/a: has 1001 elements; allowed are 1000 where uniqueItems is asked for");
  // Not matched, because the match would not end well.
  const JsonSchema pattern(R"({"properties": {"a": {"pattern": "^(a|b)*$"}}})");
  CHECK(pattern.problem(fmt::format(R"({{"a": "{}"}})", std::string(1000, 'b'))) == std::nullopt);
  CHECK(pattern.problem(fmt::format(R"({{"a": "{}"}})", std::string(100'000, 'b')))->starts_with("/a: is too long"));
}

TEST_CASE("schemas that refer to themselves: for members of a value they work, for the value itself they are refused") {
  const auto endless = [](const char* schema) {
    CAPTURE(schema);
    CHECK_THROWS_WITH_AS(JsonSchema{schema},
                         "schema refers to itself for the same value; allowed is that only for its items and properties", InvalidArgument);
  };
  endless(R"({"$ref": "#"})");
  endless(R"({"allOf": [{"$ref": "#"}]})");
  endless(R"({"not": {"$ref": "#"}})");
  endless(R"({"if": true, "else": {"$ref": "#"}})");
  endless(R"({"dependencies": {"a": {"$ref": "#"}}})");
  endless(R"({"properties": {"a": {"$ref": "#/properties/a"}}})");
  endless(R"({"properties": {"a": {"$ref": "#//properties/a/"}}})");
  endless(
      R"({"items": {"$ref": "#/definitions/a"}, "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"anyOf": [{"$ref": "#/definitions/a"}]}}})");
  for (const char* refused : {R"({"items": {"$ref": "#/definitions/a"}})", R"({"items": {"$ref": "other.json"}})",
                              R"({"items": {"$ref": 1}})", R"({"items": {"$ref": "#/definitions/a%20b"}, "definitions": {"a b": {}}})",
                              R"({"items": {"id": "a/", "items": {"$ref": "#/items"}}})",
                              R"({"items": {"$ref": "#/definitions/a"}, "definitions": {"a": {"propertyNames": {"maxLength": 9}}}})"}) {
    CAPTURE(refused);
    CHECK_THROWS_AS(JsonSchema{refused}, InvalidArgument);
  }

  const JsonSchema tree(R"({"type": "object", "required": ["n"], "properties": {
    "n": {"$ref": "#/definitions/a~1number"}, "left": {"$ref": "#"}, "right": {"$ref": "#"}, "more": {"type": "array", "items": {"$ref": "#"}}},
    "definitions": {"a/number": {"type": "integer"}}})");
  CHECK(tree.problem(R"({"n": 1, "left": {"n": 2, "right": {"n": 3}}, "more": [{"n": 4, "more": []}]})") == std::nullopt);
  CHECK(tree.problem(R"({"n": 1, "left": {"n": 2, "right": {"n": "3"}}})")->starts_with("/left/right/n: "));
  CHECK(tree.problem(R"({"n": 1, "more": [{"n": 4, "more": [{}]}]})")->starts_with("/more/0/more/0: "));

  // The stack does for all levels that a document may have, and for all schemas that may ask about each of them.
  const auto nested = [](int schemas) {
    std::string text = R"({"properties": {"a": {"$ref": "#"}}})";
    for (int i = 0; i < schemas; ++i) text = fmt::format(R"({{"if": true, "then": {}}})", text);
    return text;
  };
  const auto levels = [](int n) {
    std::string text;
    for (int i = 0; i < n; ++i) text += R"({"a":)";
    return text + "1" + std::string(static_cast<std::size_t>(n), '}');
  };
  CHECK(JsonSchema(nested(16)).problem(levels(128)) == std::nullopt);
  CHECK(JsonSchema(nested(16)).problem(levels(129)) == "/: is no JSON of at most 128 levels");
  CHECK(tree.problem(std::string(200'000, '[')) == "/: is no JSON of at most 128 levels");
  CHECK_THROWS_AS(JsonSchema(nested(17)), InvalidArgument);
  const auto chain = [](int links) {
    std::string text = R"({"items": {"$ref": "#/definitions/0"}, "definitions": {)";
    for (int i = 0; i < links; ++i) text += fmt::format(R"("{}": {{"items": {{"$ref": "#/definitions/{}"}}}}, )", i, i + 1);
    return text + fmt::format(R"("{}": {{}}}}}})", links);
  };
  CHECK(JsonSchema(chain(200)).problem("[[[[]]]]") == std::nullopt);
  CHECK_THROWS_AS(JsonSchema(chain(100'000)), InvalidArgument);
  // Dates and times are matched with patterns as well.
  CHECK(JsonSchema(R"({"format": "date"})").problem('"' + std::string(100'000, '1') + '"')->starts_with("/: is too long"));
  CHECK(JsonSchema(R"({"format": "date"})").problem("\"2026-11-21\"") == std::nullopt);
}

TEST_CASE("tasks of a former name are run by the same handler") {
  House house;
  const auto task = Task<Picky, int>("new-name", {.queue = "lane"}).with_aliases({"old-name", "older-name"});
  auto options = house.options();
  options.queues = {{"default", 1}, {"lane", 1}};
  const auto before = house.client.enqueue("old-name", R"({"n": 1})").id;
  Worker worker(options);
  worker.handle(task, [](const Picky& picky, Context&) { return picky.n; });
  CHECK_THROWS_WITH_AS(worker.handle_raw("older-name", nothing), "kind \"older-name\" has a handler already", InvalidArgument);
  CHECK_THROWS_AS(worker.handle_raw("another", nothing, {.aliases = {"new-name"}}), InvalidArgument);
  CHECK_THROWS_AS(worker.handle_raw("twice", nothing, {.aliases = {"twice"}}), InvalidArgument);
  worker.start();
  REQUIRE(house.reaches(before, Status::completed));
  const auto after = house.client.enqueue("older-name", R"({"n": 2})").id;
  REQUIRE(house.reaches(after, Status::completed));
  CHECK(house.client.get(after)->queue == "lane");
  const auto kinds = house.client.kinds();
  REQUIRE(kinds.size() == 3);
  CHECK(kinds[0].kind == "new-name");
  CHECK(kinds[0].alias_of == std::nullopt);
  CHECK(kinds[1].alias_of == "new-name");
}

TEST_CASE("what a worker declares of its kinds is what SQL, and others, enqueue") {
  House house;
  const Task<Picky> task("declared", {.queue = "lane", .priority = 90, .max_attempts = 2, .backoff = fixed(1ms), .timeout = 7s});
  const auto serve = [&](const Task<Picky>& definition) {
    Worker worker(house.options());
    worker.handle(definition, [](const Picky&, Context&) {});
    worker.handle_raw("silent", nothing);
    worker.start();
    worker.stop();
  };
  const auto is_declared = [&](TaskId id) {
    const auto made = house.client.get(id);
    CHECK(made->queue == "lane");
    CHECK(made->priority == Priority(90));
    CHECK(made->max_attempts == 2);
    CHECK(made->timeout == 7s);
    CHECK(made->backoff->find("fixed") != std::string::npos);
  };
  const auto before = house.client.enqueue("declared", R"({"n": 1})").id;
  CHECK(house.client.get(before)->queue == "default");
  serve(task);
  is_declared({house.schema.number(R"(SELECT enqueue('declared', '{"n": 1}'))")});
  is_declared({house.schema.number(R"(SELECT (enqueue_many('declared', '{"{\"n\": 1}"}'))[1])")});
  is_declared({house.schema.number(R"(SELECT enqueue('declared', '{"n": 1}', tenant => 'acme'))")});
  is_declared({house.schema.number(R"(SELECT id FROM enqueue_once('declared', '{"n": 1}', unique_key => 'a'))")});
  is_declared(house.client.enqueue("declared", R"({"n": 2})", {.unique_key = "a", .replace = true}).id);
  is_declared(house.client.enqueue("declared", R"({"n": 1})").id);
  is_declared(Task<Picky>("declared").enqueue(house.client, {1}).id);
  house.client.put_schedule("nightly", "0 3 * * *", "declared", R"({"n": 1})");
  is_declared(house.client.run_schedule("nightly"));
  CHECK(house.client.schedules()[0].queue == "lane");
  // What the call says comes first.
  const auto own =
      house.client.get(house.client.enqueue("declared", R"({"n": 1})", {.queue = "mine", .priority = 10, .max_attempts = 9}).id);
  CHECK(own->queue == "mine");
  CHECK(own->priority == Priority(10));
  CHECK(own->max_attempts == 9);
  CHECK(own->timeout == 7s);
  CHECK(house.count("doctor()") == 0);

  const auto first = house.client.kinds("declared");
  REQUIRE(first.size() == 1);
  CHECK(first[0].timeout == 7s);
  CHECK(house.client.kinds().size() == 1);  // a handler that says nothing declares nothing
  serve(task);
  CHECK(house.client.kinds("declared")[0].registered_at == first[0].registered_at);
  serve(Task<Picky>("declared", {.queue = "other"}));
  CHECK(house.client.kinds("declared")[0].queue == "other");
  CHECK(house.client.kinds("declared")[0].max_attempts == std::nullopt);
  CHECK(house.client.get(house.client.enqueue("declared", R"({"n": 1})").id)->max_attempts == 5);
  CHECK(house.client.schedules()[0].queue == "other");
  house.client.forget_kind("declared");
  CHECK(house.client.get(house.client.enqueue("declared", R"({"n": 1})").id)->queue == "default");
  CHECK_THROWS_AS(house.client.forget_kind("declared"), NotFound);
}

TEST_CASE("defaults out of range are refused before anything starts") {
  House house;
  Worker worker(house.options());
  CHECK_THROWS_WITH_AS(worker.handle(Task<Picky>("bad", {.max_attempts = 0}), [](const Picky&, Context&) {}),
                       "max_attempts is 0; allowed is 1 to 1000", InvalidArgument);
  CHECK_THROWS_AS(worker.handle_raw("raw", nothing, {.aliases = {""}}), InvalidArgument);
  CHECK_THROWS_WITH(house.schema.number(R"(SELECT cardinality(register_kinds('[{"kind": "a", "priority": 101}]')))"),
                    "priority is 101; allowed is 0 to 100");
}

TEST_CASE("workers that declare the same kinds at once do not stand in each other's way") {
  House house;
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      const auto link = house.schema.open();
      for (int i = 0; i < 20; ++i) {
        const std::string order = thread % 2 == 0 ? R"([{{"kind": "a", "priority": {0}}}, {{"kind": "b", "priority": {0}}}])"
                                                  : R"([{{"kind": "b", "priority": {0}}}, {{"kind": "a", "priority": {0}}}])";
        link->run("SELECT register_kinds($1::jsonb)", postgres::Params().text(fmt::format(fmt::runtime(order), (thread * 20 + i) % 100)));
      }
      ++good;
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(good == 8);
}

TEST_CASE("declaring what is known already waits for nobody and writes nothing") {
  House house;
  const std::string declare = R"(SELECT cardinality(register_kinds('[{"kind": "a", "priority": 3, "timeout_ms": 5}, {"kind": "b"}]')))";
  CHECK(house.schema.number(declare) == 2);
  const std::string before = house.schema.value("SELECT string_agg(xmin || ' ' || xmax || ' ' || ctid, ', ') FROM kinds");
  Session holder(house.schema), worker(house.schema);
  holder.script("BEGIN");
  REQUIRE(holder.run("SELECT FROM kinds FOR KEY SHARE").size() == 2);
  holder.script("ROLLBACK");
  const std::string locked = house.schema.value("SELECT string_agg(xmin || ' ' || xmax || ' ' || ctid, ', ') FROM kinds");
  CHECK(locked != before);  // a lock can be seen there
  CHECK(house.schema.number(declare) == 0);
  CHECK(house.schema.value("SELECT string_agg(xmin || ' ' || xmax || ' ' || ctid, ', ') FROM kinds") == locked);
  holder.script("BEGIN");
  REQUIRE(holder.run("SELECT FROM kinds FOR UPDATE").size() == 2);
  worker.start(declare);
  CHECK(worker.finish().empty());
  worker.start(R"(SELECT cardinality(register_kinds('[{"kind": "a", "priority": 4}, {"kind": "b"}]')))");
  CHECK(worker.blocked(house.schema));
  holder.script("ROLLBACK");
  CHECK(worker.finish().empty());
  CHECK(worker.rows().integer(0, 0) == 1);
}
