// Cuts the text of a module into statements.
#ifndef DELTAK_TESTS_EMULATED_PTX_SCAN_H
#define DELTAK_TESTS_EMULATED_PTX_SCAN_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ptx {

/// The same text and lines with blanks in place of comments.
std::string without_comments(std::string text);

std::string_view trimmed(std::string_view text);
/// Parts between commas that stand in no bracket or brace.
std::vector<std::string_view> split(std::string_view text);
/// The words between blanks.
std::vector<std::string_view> words(std::string_view text);
/// An unsigned decimal number; throws std::runtime_error if it is something else.
size_t number(std::string_view text);

struct Statement {
    enum Kind { instruction, label, open, close, entry, line, end };
    Kind kind = end;
    uint32_t number = 0;   ///< of its line
    std::string_view text; ///< without ; : {, trimmed
};

/// Reads one statement after the other.
class Scanner {
  public:
    explicit Scanner(std::string_view text) : text_(text) {}
    Statement next();

  private:
    Statement take(Statement::Kind kind, size_t end, size_t skip);
    std::string_view text_;
    size_t at_ = 0;
    uint32_t line_ = 1;
};

} // namespace ptx

#endif
