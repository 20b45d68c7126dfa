// Workflows that must survive each failure: a row of a table each, and one loop over all of them.
//
// To add one: a function that makes the objects and returns what is done to them and what can be
// seen of them (Subject), and a row with its name (Workflow) in a program's table.
#ifndef DELTAK_TESTS_FAULTS_WORKFLOW_H
#define DELTAK_TESTS_FAULTS_WORKFLOW_H

#include "faults.h"
#include "support_data.h"

#include "deltak/deltak.h"

#include <functional>
#include <string>
#include <vector>

namespace faults {

struct Subject {
    /// What is done while a call fails.
    std::function<dk_status()> act;
    /// All that can be seen of the objects; files in the folder are looked at besides.
    std::function<std::string()> state;
    /// For a trainer, whose step may fail half-way and says so when asked for the next: makes a new
    /// one.
    std::function<void()> renew = nullptr;
};

/// What holds after an act that failed. In any case the objects can be used, or say what else to do.
enum class After {
    nothing_happened, ///< everything is as it was, and the act done again gives what it should
    on_the_host,      ///< the same, unless it is the GPU that failed on the way
    got_on            ///< a fit over several epochs may have got on
};

struct Workflow {
    const char *name;
    std::function<Subject(const support::Folder &)> make;
    After after = After::nothing_happened;
};

/// So that GoogleTest prints a row by its name.
void PrintTo(const Workflow &workflow, std::ostream *out);
std::string name_of(const testing::TestParamInfo<Workflow> &info);

/// What a failed call of a function means to the caller of the library.
struct Meaning {
    Function function;
    std::vector<int> errors; ///< each is tried
    dk_status status;        ///< DK_OK: the failure changes nothing
    const char *says;        ///< in the error text, beside the file's name and the system's reason
    bool may_pass = false;   ///< where nothing depends on it, it isn't one
};

/// What every workflow is tried with, as far as calls of the system go.
const std::vector<Meaning> &meanings();

/// One kind of failure: a call of a function with an error, or of the emulated CUDA.
struct Kind {
    std::string name;
    std::string counted_as; ///< "an allocation fails": the promise's way
    std::function<void(long at, bool for_ever)> arm;
    std::function<bool()> disarm;                          ///< whether it happened
    std::function<bool()> may_pass = [] { return false; }; ///< this one need not be told
    std::function<void()> restore = [] {};                 ///< when the objects are gone
    dk_status status = DK_OK;
    std::vector<std::string> says = {};
    bool names_a_file = false;
    bool in_place = false;   ///< what was done is done, but not for sure: see survive
    bool ends_steps = false; ///< a step may be left half-done
    bool on_the_gpu = false;
    bool for_good = false; ///< the device is lost: nothing goes on with these objects
    long of_n = 0,
         of_n_for_ever = 0; ///< 0: every call fails in turn; k: after the n-th the next is
                            ///< n/k calls later
};

/// Of a function of the system that fails with `error`; and all there are.
Kind kind_of(const Meaning &meaning, int error);
const std::vector<Kind> &system_kinds();

/// Makes each call of each kind fail in turn, once and for ever, until a run in which none fails.
/// Then: the status and a text that names the file or what was needed; everything as it was;
/// no memory, map, descriptor, thread or file left behind; and the same act done again succeeds and
/// gives what it gives undisturbed. Tells support::promise how many failures there were.
void survive(const Workflow &workflow, const std::vector<Kind> &kinds = system_kinds());

/// The same act in interrupted calls, and in reads and writes of one byte or of random lengths, gives
/// what it gives undisturbed.
void weather(const Workflow &workflow);

/// The files of a folder, with their bytes.
std::string files_of(const support::Folder &folder);

} // namespace faults

#endif
