/* The program; everything is in probe_main, which the tests call, too. */
#include "probe.h"

int main(int argc, char **argv) {
    return probe_main(argc, argv);
}
