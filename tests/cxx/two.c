/*
 * two: a C program that loads two C++ plugins, each with a C++ runtime of its own: two PLUGIN
 * PLUGIN.
 */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    int failed = argc != 3;
    for (int i = 1; i < argc; i++) {
        void *plugin = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        int (*run)(int) = plugin == NULL ? NULL : (int (*)(int))dlsym(plugin, "plugin_run");
        if (run == NULL) {
            fprintf(stderr, "%s\n", dlerror());
            return 2;
        }
        failed += run(0);
    }
    return failed != 0;
}
