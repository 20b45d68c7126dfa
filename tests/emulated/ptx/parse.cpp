// Decodes a module's text.
#include "decoder.h"

#include <stdexcept>

namespace ptx {

/// .target sm_90, and lines that say nothing about the code
static void take_line(Module &module, std::string_view text) {
    const size_t target = text.find("sm_");
    if (text.substr(0, 7) != ".target") return;
    if (target == std::string_view::npos) throw std::runtime_error("no target");
    const size_t end = std::min(text.find_first_not_of("0123456789", target + 3), text.size());
    module.capability = static_cast<int>(number(text.substr(target + 3, end - target - 3)));
}

static void take_kernel(Module &module, Scanner &scanner, Statement &statement) {
    Kernel kernel;
    Decoder decoder(kernel);
    decoder.head(statement.text);
    while (!decoder.is_over()) {
        statement = scanner.next();
        decoder.take(statement);
    }
    std::string name = kernel.name;
    module.kernels.emplace(std::move(name), std::move(kernel));
}

static void find_lines(Module &module) {
    module.lines.push_back(0);
    for (size_t at = 0; (at = module.text.find('\n', at)) != std::string::npos;)
        module.lines.push_back(++at);
}

std::shared_ptr<const Module> parse(const std::string &text) {
    const auto module = std::make_shared<Module>();
    module->text = without_comments(text);
    find_lines(*module);
    Scanner scanner(module->text);
    Statement statement;
    try {
        while ((statement = scanner.next()).kind != Statement::end) {
            if (statement.kind == Statement::line)
                take_line(*module, statement.text);
            else if (statement.kind == Statement::entry)
                take_kernel(*module, scanner, statement);
            else
                throw std::runtime_error("unknown declaration");
        }
    } catch (const std::exception &error) {
        throw std::runtime_error("cannot decode line " + std::to_string(statement.number) + ": " +
                                 std::string(statement.text) + ": " + error.what());
    }
    return module;
}

} // namespace ptx
