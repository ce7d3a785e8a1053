#pragma once

// The options of a verb as TOML, as --print-config prints and runs keep them. CLI11 has a writer,
// but its versions differ, and 2.4 writes text beyond ASCII in a form that no reader of TOML knows.

#include <string>

namespace CLI {
class App;
}

namespace thresher::jobs {

/// All options of `app` that a file may give, with their values or defaults, after its parse: a
/// line each, `name=value`, those of no group first; `described`: with what each is for above it,
/// as a comment. Local.
std::string options_as_toml(const CLI::App& app, bool described);

}  // namespace thresher::jobs
