/*
 * deepbind: a program that loads a plugin with RTLD_DEEPBIND, which binds the plugin to the C
 * library's malloc, and hands blocks across: deepbind PLUGIN WAY.  With -DPLUGIN it is the plugin.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef PLUGIN

void *plugin_malloc(size_t bytes)
{
    return malloc(bytes);
}

void plugin_free(void *block)
{
    free(block);
}

char *plugin_copy(const char *text)
{
    return strdup(text);
}

#else

static void *plugin;

/* A function of the plugin. */
static void *named(const char *name)
{
    void *function = dlsym(plugin, name);
    if (function == NULL)
        exit(2);
    return function;
}

int main(int argc, char **argv)
{
    void *(*allocate)(size_t);
    void (*release)(void *);
    char *(*copy)(const char *);
    if (argc != 3)
        return 2;
    plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (plugin == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    *(void **)&allocate = named("plugin_malloc");
    *(void **)&release = named("plugin_free");
    *(void **)&copy = named("plugin_copy");
    release(allocate(100));
    free(copy("made by the C library, which calls the program's malloc"));
    if (strcmp(argv[2], "out") == 0)
        free(allocate(100));
    else if (strcmp(argv[2], "resized") == 0)
        free(realloc(allocate(100), 10000));
    else if (strcmp(argv[2], "in") == 0)
        release(malloc(100));
    return 0;
}

#endif
