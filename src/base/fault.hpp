// Named points at which a test can kill, stop or delay this process. They cost nothing unless the build has them.
#pragma once

namespace millrace::base {

/// Does what the environment variable MILLRACE_FAULT says for `name`: a comma-separated list of `name=action`, or
/// `name#N=action` for the Nth time only, with action kill (SIGKILL), stop (SIGSTOP) or throw (a ConnectionError).
#if defined(MILLRACE_FAULT_POINTS)
void fault_point(const char* name);
#else
inline void fault_point(const char*) {}
#endif

}  // namespace millrace::base
