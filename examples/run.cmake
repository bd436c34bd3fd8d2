# Runs PROGRAM on a migrated schema of its own and compares what it prints with EXPECTED.
file(STRINGS ${URL_FILE} url LIMIT_COUNT 1)
execute_process(COMMAND ${MILLRACE} --database ${url} --schema ${SCHEMA} migrate up OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${PROGRAM} ${url} ${SCHEMA} OUTPUT_VARIABLE said RESULT_VARIABLE status)
execute_process(COMMAND ${MILLRACE} --database ${url} --schema ${SCHEMA} migrate down --to 0 OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(READ ${EXPECTED} expected)
if(NOT status EQUAL 0 OR NOT said STREQUAL expected)
  message(FATAL_ERROR "ended with ${status} and said:\n${said}instead of:\n${expected}")
endif()
