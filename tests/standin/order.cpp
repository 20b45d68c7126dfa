// What comes before what: for each stream, how far all queues are known to be done when what is queued on
// it next begins. Products that share a workspace must be in order whatever a schedule makes of them,
// because cuBLASLt keeps the parts of its sums there.
#include "insides.h"

#include <algorithm>

namespace standin {

void merge(Clock &into, const Clock &more) {
    for (const auto &[stream, tick] : more) into[stream] = std::max(into[stream], tick);
}

static uint64_t reached(const Clock &clock, const Stream *stream) {
    const auto at = clock.find(stream);
    return at == clock.end() ? 0 : at->second;
}

static const char *const unordered =
    "two products share a workspace, and nothing says which comes first";

void Device::claim(Stream &stream, const void *workspace) {
    const auto last = uses.find(workspace);
    if (last != uses.end()) {
        const Use &use = last->second;
        if (use.tick > std::max(reached(stream.before, use.stream), reached(finished, use.stream)))
            report(unordered);
    }
    stream.before[&stream] = ++ticks;
    uses[workspace] = {&stream, ticks};
}

/// Whether node `later` of a graph comes after node `earlier` in every order.
static bool follows(const std::vector<Node> &nodes, size_t earlier, size_t later) {
    std::vector<bool> before(later + 1, false);
    before[later] = true;
    for (size_t i = later; i > earlier; --i)
        for (size_t node : nodes[i].after) before[node] = before[node] || before[i];
    return before[earlier];
}

std::set<const void *> Device::workspaces_of(const std::vector<Node> &nodes) {
    std::map<const void *, size_t> last;
    for (size_t i = 0; i < nodes.size(); ++i) {
        const void *workspace = nodes[i].work.workspace;
        if (!workspace) continue;
        const auto [at, first] = last.try_emplace(workspace, i);
        if (!first && !follows(nodes, at->second, i))
            report(std::string("in a graph ") + unordered);
        at->second = i;
    }
    std::set<const void *> all;
    for (const auto &entry : last) all.insert(entry.first);
    return all;
}

} // namespace standin
