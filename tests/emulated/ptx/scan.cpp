#include "scan.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace ptx {

std::string without_comments(std::string text) {
    for (size_t at = 0; (at = text.find('/', at)) != std::string::npos; ++at) {
        size_t end;
        if (text.compare(at, 2, "//") == 0)
            end = text.find('\n', at);
        else if (text.compare(at, 2, "/*") == 0)
            end = text.find("*/", at + 2);
        else
            continue;
        end = end < text.size() && text[end] == '*' ? end + 2 : std::min(end, text.size());
        std::replace_if(
            text.begin() + at, text.begin() + end, [](char c) { return c != '\n'; }, ' ');
    }
    return text;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> parts;
    int depth = 0;
    size_t begin = 0;
    for (size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        if (c != ',' || depth > 0) continue;
        parts.push_back(trimmed(text.substr(begin, at - begin)));
        begin = at + 1;
    }
    const std::string_view last = trimmed(text.substr(begin));
    if (!last.empty()) parts.push_back(last);
    return parts;
}

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> found;
    while (!(text = trimmed(text)).empty()) {
        const size_t length = std::min(text.find_first_of(" \t\r\n"), text.size());
        found.push_back(text.substr(0, length));
        text.remove_prefix(length);
    }
    return found;
}

size_t number(std::string_view text) {
    size_t value = 0;
    const char *const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc() || stop != end)
        throw std::runtime_error("not a number: " + std::string(text));
    return value;
}

/// The statement from here up to `end`; the next one begins `skip` characters later.
Statement Scanner::take(Statement::Kind kind, size_t end, size_t skip) {
    end = std::min(end, text_.size());
    const Statement statement = {kind, line_, trimmed(text_.substr(at_, end - at_))};
    const size_t next = std::min(end + skip, text_.size());
    line_ += static_cast<uint32_t>(std::count(text_.begin() + at_, text_.begin() + next, '\n'));
    at_ = next;
    return statement;
}

/// Directives that no semicolon ends.
static bool is_line(std::string_view text) {
    for (const char *name : {".version", ".target", ".address_size"})
        if (text.substr(0, std::string_view(name).size()) == name) return true;
    return false;
}

Statement Scanner::next() {
    for (; at_ < text_.size() && is_blank(text_[at_]); ++at_) line_ += text_[at_] == '\n';
    if (at_ == text_.size()) return {Statement::end, line_, {}};
    if (text_[at_] == '{') return take(Statement::open, at_, 1);
    if (text_[at_] == '}') return take(Statement::close, at_, 1);
    const std::string_view rest = text_.substr(at_, 32);
    if (is_line(rest)) return take(Statement::line, text_.find('\n', at_), 0);
    if (rest.substr(0, 6) == ".entry" || rest.substr(0, 8) == ".visible")
        return take(Statement::entry, text_.find('{', at_), 1);
    const size_t stop = text_.find_first_of(";:", at_);
    if (stop == std::string_view::npos || text_[stop] == ';')
        return take(Statement::instruction, stop, 1);
    return take(Statement::label, stop, 1);
}

} // namespace ptx
