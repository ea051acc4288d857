/*
 * map: the page map as SVG.
 */
#ifndef HFT_MAP_H
#define HFT_MAP_H

#include <stdio.h>

#include "reader/snapshot.h"

/* Writes one node's pages as an <svg> element of its own: colours for light and dark, a <title> at
 * each cell.  It stands in an HTML page as it is, with what belongs around it as text that wraps:
 * map_figures, and the last line of map_steps; keys are show_states, inside of class hfmap.
 * `node` is an index; without a page map a line of text says so. */
void map_svg(FILE *out, const struct snapshot *snapshot, unsigned node);
void map_figures(FILE *out, const struct snapshot *snapshot, unsigned node);
void map_steps(FILE *out, const struct snapshot *snapshot, unsigned node);

/* Writes a whole SVG file: the node whose number is *only, or for NULL all, one below the other. */
void map_svg_file(FILE *out, const struct snapshot *snapshot, const uint32_t *only);

#endif
