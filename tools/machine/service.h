/*
 * service: what a unit of systemd, or a container of a pod, says for an arena of a named size.
 *
 * Printed as a file that can be used as it is: all that is not a setting is a comment.
 */
#ifndef HFT_SERVICE_H
#define HFT_SERVICE_H

#include "machine/checks.h"

/* Whether a text can be the name of a unit, with .service or without, and of a program. */
bool service_is_name(const char *name);

/* A drop-in of the unit. */
void service_print_unit(const struct outlook *outlook, const char *name);

/* The parts of a container's entry, and what the pod then has. */
void service_print_pod(const struct outlook *outlook);

#endif
