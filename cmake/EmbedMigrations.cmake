# cmake -DFROM=<folder> -DOUT=<file.cpp> -P EmbedMigrations.cmake
# Writes a C++ file that defines millrace::embedded_migrations() from NNNN_name.{up,down}.sql. Everything that could go
# wrong only when a migration is applied, and can be seen from its text, fails the build here.
cmake_minimum_required(VERSION 3.25)

set(piece_max 32000)  # Compilers need not take string literals above 65536 bytes, adjacent ones counted together.

# C++ for the text of a file: join({R"millrace(…)millrace", …}), cut at line ends.
function(literal file out)
  file(READ "${file}" rest)
  string(FIND "${rest}" ")millrace\"" closing)
  if(NOT closing EQUAL -1)
    message(FATAL_ERROR "${file} holds the end mark of the raw string that it is embedded in")
  endif()
  set(code "join({")
  string(LENGTH "${rest}" length)
  while(length GREATER 0)
    set(cut ${length})
    if(length GREATER piece_max)
      string(SUBSTRING "${rest}" 0 ${piece_max} piece)
      string(FIND "${piece}" "\n" cut REVERSE)
      if(cut EQUAL -1)
        message(FATAL_ERROR "${file} has a line of more than ${piece_max} bytes")
      endif()
      math(EXPR cut "${cut} + 1")
    endif()
    string(SUBSTRING "${rest}" 0 ${cut} piece)
    string(SUBSTRING "${rest}" ${cut} -1 rest)
    string(LENGTH "${rest}" length)
    string(APPEND code "R\"millrace(${piece})millrace\", ")
  endwhile()
  set(${out} "${code}})" PARENT_SCOPE)
endfunction()

# Sets `out` to true or false, and checks that the file sets search_path the way its kind must.
function(read_kind file out)
  file(READ "${file}" text)
  set(set_path "SET LOCAL search_path")
  set(kind true)
  if("\n${text}" MATCHES "\n-- millrace:non-transactional *\n")
    set(set_path "SET search_path")
    set(kind false)
  endif()
  string(FIND "${text}" "\n${set_path} = :\"schema\", pg_catalog, pg_temp;\n" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${file} lacks the line: ${set_path} = :\"schema\", pg_catalog, pg_temp;")
  endif()
  set(${out} ${kind} PARENT_SCOPE)
endfunction()

get_filename_component(FROM "${FROM}" ABSOLUTE)
file(GLOB files RELATIVE "${FROM}" "${FROM}/*.sql")
list(SORT files)
set(ups "${files}")
list(FILTER ups INCLUDE REGEX "\\.up\\.sql$")
if(NOT ups)
  message(FATAL_ERROR "there are no migrations in ${FROM}")
endif()

set(entries "")
set(paired "")
set(expected 0)
foreach(up IN LISTS ups)
  math(EXPR expected "${expected} + 1")
  if(NOT up MATCHES "^([0-9][0-9][0-9][0-9])_([a-z0-9_]+)\\.up\\.sql$")
    message(FATAL_ERROR "${up} is not named NNNN_name.up.sql")
  endif()
  set(digits ${CMAKE_MATCH_1})
  set(name ${CMAKE_MATCH_2})
  string(REGEX REPLACE "^0+" "" version "${digits}")
  if(NOT version EQUAL expected)
    message(FATAL_ERROR "${up}: migration ${expected} was expected; numbers have no gaps and no doubles")
  endif()
  set(down "${digits}_${name}.down.sql")
  if(NOT EXISTS "${FROM}/${down}")
    message(FATAL_ERROR "${up} has no ${down}")
  endif()
  list(APPEND paired "${up}" "${down}")

  file(READ "${FROM}/${up}" text)
  set(row "INSERT INTO migrations \\(version, name, min_compatible\\) VALUES \\(${version}, '${name}', ([0-9]+)\\);\n*$")
  if(NOT text MATCHES "${row}")
    message(FATAL_ERROR "${up} must end with: INSERT INTO migrations (version, name, min_compatible) VALUES (${version}, '${name}', N);")
  endif()
  set(min_compatible ${CMAKE_MATCH_1})
  if(min_compatible LESS 1 OR min_compatible GREATER version)
    message(FATAL_ERROR "${up}: min_compatible is ${min_compatible}; allowed is 1 to ${version}")
  endif()
  read_kind("${FROM}/${up}" transactional)
  read_kind("${FROM}/${down}" down_transactional)
  if(NOT transactional STREQUAL down_transactional)
    message(FATAL_ERROR "only one of ${up} and ${down} is marked non-transactional; mark both")
  endif()

  literal("${FROM}/${up}" up_literal)
  literal("${FROM}/${down}" down_literal)
  string(APPEND entries "      {${version}, \"${name}\", ${min_compatible}, ${transactional},\n       ${up_literal},\n       ${down_literal}},\n")
endforeach()

list(REMOVE_ITEM files ${paired})
if(files)
  list(JOIN files ", " files)
  message(FATAL_ERROR "not part of any pair of migrations: ${files}")
endif()

file(WRITE "${OUT}" "// Written by cmake/EmbedMigrations.cmake from the files in migrations/.
#include <millrace/migrate.hpp>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {
namespace {

std::string join(std::initializer_list<std::string_view> pieces) {
  std::string all;
  for (const std::string_view piece : pieces) all += piece;
  return all;
}

}  // namespace

const std::vector<Migration>& embedded_migrations() {
  static const std::vector<Migration> all = {
${entries}  };
  return all;
}

}  // namespace millrace
")
