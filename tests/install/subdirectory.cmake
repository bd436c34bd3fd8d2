# Configures a project that takes Millrace's source as a part of itself.
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)

file(REMOVE_RECURSE ${OUT}/subproject)
run(${configure} -S ${TESTS}/subproject -B ${OUT}/subproject -DMILLRACE_SOURCE=${SOURCE})
