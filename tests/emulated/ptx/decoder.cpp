#include "decoder.h"

#include <algorithm>
#include <stdexcept>

namespace ptx {

namespace {

/// What declares memory: .align 8 .b8 name[200].
struct Declared {
    std::string_view name;
    size_t bytes = 0, alignment = 1;
};

size_t type_bytes(std::string_view type) {
    if (type.size() < 3 || type.substr(0, 1) != ".") throw std::runtime_error("no type");
    return number(type.substr(2)) / 8;
}

Declared declared(std::string_view text) {
    Declared found;
    size_t unit = 0;
    const std::vector<std::string_view> parts = words(text);
    for (size_t i = 1; i < parts.size(); ++i) { // after .param or .shared
        if (parts[i] == ".align" && i + 1 < parts.size()) {
            const size_t alignment = number(parts[++i]);
            if (unit == 0) found.alignment = alignment; // else of what a .ptr points to
        } else if (parts[i][0] != '.') {
            found.name = parts[i];
        } else if (parts[i] != ".ptr") {
            unit = type_bytes(parts[i]);
        }
    }
    const size_t bracket = found.name.find('[');
    found.bytes = unit;
    if (bracket != std::string_view::npos)
        found.bytes *= number(found.name.substr(bracket + 1, found.name.find(']') - bracket - 1));
    found.name = found.name.substr(0, bracket);
    found.alignment = std::max(found.alignment, unit);
    if (found.name.empty() || unit == 0) throw std::runtime_error("no name or type");
    return found;
}

/// Where it lies behind `end`, which moves on.
size_t place(const Declared &memory, size_t &end) {
    const size_t at = (end + memory.alignment - 1) / memory.alignment * memory.alignment;
    end = at + memory.bytes;
    return at;
}

} // namespace

void Decoder::head(std::string_view text) {
    const size_t open = text.find('('), close = text.find(')');
    if (open == std::string_view::npos || close == std::string_view::npos)
        throw std::runtime_error("no parameters");
    const std::vector<std::string_view> name = words(text.substr(0, open));
    if (name.size() < 2 || name[name.size() - 2] != ".entry") throw std::runtime_error("no kernel");
    kernel_.name = name.back();
    for (const std::string_view parameter : split(text.substr(open + 1, close - open - 1)))
        declare_parameter(parameter);
    const size_t most = text.find(".maxntid");
    if (most == std::string_view::npos) return;
    const std::string_view line = text.substr(most, text.find('\n', most) - most);
    kernel_.signature.max_threads = 1;
    for (const std::string_view factor : split(line.substr(line.find(' '))))
        kernel_.signature.max_threads *= static_cast<unsigned>(number(factor));
}

void Decoder::declare_parameter(std::string_view text) {
    const Declared memory = declared(text);
    const size_t offset = place(memory, kernel_.parameter_bytes);
    kernel_.signature.parameters.push_back({offset, memory.bytes});
    addresses_[memory.name] = offset;
}

void Decoder::declare_shared(std::string_view text) {
    const Declared memory = declared(text);
    addresses_[memory.name] = place(memory, kernel_.signature.shared_bytes);
}

/// .reg .b32 %r<16>, or .reg .b16 low, high
void Decoder::declare_registers(std::string_view text) {
    const std::vector<std::string_view> parts = words(text);
    const std::string_view type = parts.at(1);
    const size_t bytes = type == ".pred" ? 0 : type_bytes(type);
    const Width width = bytes == 0   ? Width::predicate
                        : bytes == 2 ? Width::b16
                        : bytes == 4 ? Width::b32
                                     : Width::b64;
    for (const std::string_view name :
         split(text.substr(type.data() + type.size() - text.data()))) {
        const size_t bracket = name.find('<');
        if (bracket == std::string_view::npos) {
            scopes_.back().names[name] = {allot(width), width};
            continue;
        }
        const size_t count = number(name.substr(bracket + 1, name.find('>') - bracket - 1));
        const Register first = {kernel_.cells, width};
        for (size_t i = 0; i < count; ++i) allot(width);
        scopes_.back().families[name.substr(0, bracket)] = {first, count};
    }
}

void Decoder::take(const Statement &statement) {
    switch (statement.kind) {
    case Statement::open:
        scopes_.emplace_back();
        break;
    case Statement::close:
        scopes_.pop_back();
        if (scopes_.empty()) finish();
        break;
    case Statement::label:
        labels_[statement.text] = static_cast<uint32_t>(kernel_.code.size());
        break;
    case Statement::instruction: {
        const size_t before = kernel_.code.size();
        instruction(statement.text);
        if (kernel_.code.size() > before) kernel_.code.back().line = statement.number;
        break;
    }
    default:
        throw std::runtime_error("not in a kernel");
    }
}

/// Takes the @%p or @!%p off.
std::string_view Decoder::guard(std::string_view text, Op &op) {
    if (text[0] != '@') return text;
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    op.unless = text[1] == '!';
    op.guard = reader(text.substr(1 + op.unless, end - 1 - op.unless), Width::predicate);
    return trimmed(text.substr(end));
}

void Decoder::instruction(std::string_view text) {
    const std::string_view directive = text.substr(0, text.find_first_of(" \t"));
    if (directive == ".reg") return declare_registers(text);
    if (directive == ".shared") return declare_shared(text);
    if (directive == ".pragma") return; // how much to unroll
    Op op;
    text = guard(text, op);
    const std::string_view name = text.substr(0, text.find_first_of(" \t\n{"));
    const Operands operands = split(text.substr(name.size()));
    if (!decode_form(op, std::string(name), operands) && !decode_move(op, name, operands) &&
        !decode_memory(op, name, operands) && !decode_control(op, name, operands))
        throw std::runtime_error("unknown instruction");
    if (op.guard != no_cell && op.kind != Op::branch && op.kind != Op::leave)
        throw std::runtime_error("only branches may have a guard");
    kernel_.code.push_back(op);
}

void Decoder::finish() {
    for (const auto &[at, label] : jumps_) {
        const auto found = labels_.find(label);
        if (found == labels_.end()) throw std::runtime_error("no label " + std::string(label));
        kernel_.code[at].target = found->second;
    }
    Op end;
    end.kind = Op::leave;
    end.line = kernel_.code.empty() ? 1 : kernel_.code.back().line;
    kernel_.code.push_back(end);
}

} // namespace ptx
