/*
 * checks-main: see checks.h: the command line that doctor and plan have in common.
 *
 * Test: tests/tool.sh, tests/tool-plan.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "machine/checks.h"
#include "machine/service.h"

struct request {
    const char *described; /* --topology */
    const char *unit;
    uint32_t forks;
    bool json, pod;
};

/* False after HF-E439. */
static bool is_unit(const char *value, const char *name)
{
    char shown[64];
    if (service_is_name(value))
        return true;
    hfi_say(SAY_ERROR, "HF-E439", name,
            "--unit %s: no name of a unit; name the service, as in --unit redis-server",
            tool_printable(shown, sizeof shown, value));
    return false;
}

/* False after HF-E422 or HF-E449. */
static bool can_be_printed(const struct request *request, const char *name)
{
    const char *arena = getenv("HOLDFAST_ARENA");
    if ((request->unit != NULL) + request->pod + request->json > 1) {
        hfi_say(SAY_ERROR, "HF-E449", name,
                "--unit, --pod and --json print different things; leave all of them out except for one");
        return false;
    }
    if ((request->unit == NULL && !request->pod) || (arena != NULL && strcmp(arena, "auto") != 0))
        return true;
    hfi_say(SAY_ERROR, "HF-E422", name,
            "a limit is made for an arena of a named size; add --arena, such as --arena 8G");
    return false;
}

/* -1, or the status to exit with. */
static int understand(struct request *request, int argc, char **argv, const struct checks_command *of)
{
    const char *name = of->command->name;
    int option;
    while ((option = tool_getopt(argc, argv, ":h", of->options, name)) != -1) {
        if (option == 'h')
            return tool_help(of->command);
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'j')
            request->json = true;
        else if (option == CHECKS_TOPOLOGY)
            request->described = optarg;
        else if (option == CHECKS_POD)
            request->pod = true;
        else if (option == CHECKS_UNIT) {
            if (!is_unit(optarg, name))
                return EXIT_CONFIG;
            request->unit = optarg;
        } else if (option == 'f') {
            if (!tool_number(optarg, 0, TOOL_FORKS_MOST, "--forks", &request->forks, name))
                return EXIT_CONFIG;
        } else if (!tool_set_variable(of->options, optarg, name))
            return EXIT_CONFIG;
    }
    if (optind == argc)
        return can_be_printed(request, name) ? -1 : EXIT_USAGE;
    hfi_say(SAY_ERROR, "HF-E410", name, "%s is not understood; see `holdfast help %s`", argv[optind], name);
    return EXIT_USAGE;
}

int checks_main(int argc, char **argv, const struct checks_command *of)
{
    static struct examination examination;
    struct request request = { .json = false };
    int status = understand(&request, argc, argv, of);
    if (status >= 0)
        return status;
    if (of->describes && request.described == NULL) /* hwloc's own variables */
        request.described = getenv("HWLOC_XMLFILE");
    if (of->describes && request.described == NULL)
        request.described = getenv("HWLOC_SYNTHETIC");
    examination.checks = json_array();
    status = outlook_load(&examination.outlook, request.described, of->command->name);
    if (status != 0)
        return status;
    examination.outlook.forks = request.forks;
    examination.unit = request.unit;
    examination.pod = request.pod;
    of->examine(&examination);
    if ((request.json ? of->print_json : of->print_text)(&examination) != 0)
        return EXIT_FAILURE;
    return examination.failed != 0;
}
