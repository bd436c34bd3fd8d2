#include "migrate/sql_text.hpp"

#include <doctest/doctest.h>

using millrace::migrate::fill_schema;
using millrace::migrate::statements;
using Texts = std::vector<std::string>;

TEST_CASE("the schema token is filled in where psql would") {
  CHECK(fill_schema(R"(CREATE SCHEMA :"schema";)", "mill") == R"(CREATE SCHEMA "mill";)");
  CHECK(fill_schema(R"(SET x = :"schema", y;)", R"(a"; DROP SCHEMA x--)") == R"(SET x = "a""; DROP SCHEMA x--", y;)");
  for (const char* untouched :
       {R"(-- :"schema")", R"(/* :"schema" /* */ :"schema" */)", R"(':"schema"')", R"($$:"schema"$$)", R"($body$ $$ :"schema" $body$)",
        R"(E'\':"schema"')", R"("a:""schema")", R"(:'schema' :schema)", R"(x::"char")"}) {
    CHECK(fill_schema(untouched, "mill") == untouched);
  }
  CHECK(fill_schema("-- note\n:\"schema\"", "mill") == "-- note\n\"mill\"");
}

TEST_CASE("a name with a line break cannot leave a comment") {
  CHECK(fill_schema("-- :\"schema\"\nSELECT 1", "a\nDROP TABLE x") == "-- :\"schema\"\nSELECT 1");
}

TEST_CASE("statements are separated by semicolons outside everything") {
  CHECK(statements("") == Texts{});
  CHECK(statements(" ; -- nothing\n ; /* ; */ ") == Texts{});
  CHECK(statements("SELECT 1; SELECT 2") == Texts{"SELECT 1", "SELECT 2"});
  CHECK(statements("-- first\nSELECT 1; -- after\nSELECT 2;\n") == Texts{"SELECT 1", "SELECT 2"});
  CHECK(statements("SELECT 1 -- ; inside\n, 2;") == Texts{"SELECT 1 -- ; inside\n, 2"});
  CHECK(statements("SELECT ';', 'it''s;', \"a;b\", E'\\';', /* ; /* ; */ ; */ 1;").size() == 1);
  CHECK(statements("DO $$ BEGIN; END $$; SELECT $a$ ; $$ ; $b$ ; $a$;").size() == 2);
  CHECK(statements("SELECT $1; SELECT a$b$c; SELECT 2").size() == 3);
  CHECK(statements("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3").size() == 2);
  CHECK(statements("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3").size() == 2);
  CHECK(statements("BEGIN; SELECT 1; END;") == Texts{"BEGIN", "SELECT 1", "END"});
}

TEST_CASE("unfinished quotes and comments end with the text") {
  for (const char* text : {"SELECT 'a;", "SELECT \"a;", "SELECT $$ ;", "SELECT $a$ ; $b$", "SELECT 1 /* ;", "SELECT E'\\", "SELECT $"}) {
    CHECK(statements(text) == Texts{text});
    CHECK(fill_schema(text, "mill") == text);
  }
}
