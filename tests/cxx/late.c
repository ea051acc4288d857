/*
 * late: a C program that loads a C++ plugin, and libstdc++ with it: late PLUGIN local|global
 * early|full.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    void *plugin = dlopen(argv[1], RTLD_NOW | (strcmp(argv[2], "local") == 0 ? RTLD_LOCAL : RTLD_GLOBAL));
    int (*run)(int) = plugin == NULL ? NULL : (int (*)(int))dlsym(plugin, "plugin_run");
    if (run == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    return run(strcmp(argv[3], "full") == 0);
}
