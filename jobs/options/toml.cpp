#include "jobs/options/toml.hpp"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <regex>
#include <vector>

namespace thresher::jobs {

namespace {

/// A number and a truth as they are; text between the quotes that it does not hold itself.
std::string toml_value(const std::string& text) {
    static const std::regex bare("true|false|-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?");
    if (std::regex_match(text, bare)) return text;
    const auto has = [&](char c) { return text.find(c) != std::string::npos; };
    const bool controls = std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    if (!controls && !has('"') && !has('\\')) return fmt::format("\"{}\"", text);
    if (!controls && !has('\'')) return fmt::format("'{}'", text);
    std::string escaped;
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            escaped += {'\\', c};
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            escaped += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
            escaped += c;
        }
    }
    return fmt::format("\"{}\"", escaped);
}

std::string toml_list(const std::vector<std::string>& texts) {
    std::vector<std::string> values;
    for (const std::string& text : texts) values.push_back(toml_value(text));
    return fmt::format("[{}]", fmt::join(values, ", "));
}

/// What CLI11 notes as the default of a list: "[a,b]"; of an empty one "[]" or, from 2.4 on, "{}".
std::vector<std::string> default_list(const std::string& noted) {
    if (noted.size() <= 2) return {};
    return CLI::detail::split(noted.substr(1, noted.size() - 2), ',');
}

std::string value_of(const CLI::Option& option) {
    const bool is_list = option.get_items_expected_max() > 1;
    if (option.count() == 0 && is_list) return toml_list(default_list(option.get_default_str()));
    if (option.count() == 0) {
        const bool is_flag = option.get_items_expected_max() == 0;
        return is_flag && option.get_default_str().empty() ? "false"
                                                           : toml_value(option.get_default_str());
    }
    const std::vector<std::string> values = option.reduced_results();
    if (is_list || values.size() > 1) return toml_list(values);
    std::string value = values.front();
    // A flag such as --no-rescale says the contrary of the setting that it belongs to.
    if (!option.get_fnames().empty()) value = option.get_flag_value(option.get_fnames()[0], value);
    return toml_value(value);
}

}  // namespace

std::string options_as_toml(const CLI::App& app, bool described) {
    std::vector<const CLI::Option*> options;
    for (const CLI::Option* option : app.get_options()) {
        if (option->get_configurable() && !option->get_single_name().empty())
            options.push_back(option);
    }
    std::stable_partition(options.begin(), options.end(), [](const CLI::Option* option) {
        return option->get_group() == "Options";
    });
    std::string text;
    if (described) text = fmt::format("# {}\n", app.get_description());
    for (const CLI::Option* option : options) {
        if (described) text += fmt::format("\n# {}\n", option->get_description());
        text += fmt::format("{}={}\n", option->get_single_name(), value_of(*option));
    }
    return text;
}

}  // namespace thresher::jobs
