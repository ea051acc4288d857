/*
 * report-settings: what was asked for and where it ran, as names and values: one page prints them,
 * of two those that differ.
 */
#ifndef HFT_REPORT_SETTINGS_H
#define HFT_REPORT_SETTINGS_H

#include "report/report.h"

/* What is of a moment differs between any two, and is no difference of theirs. */
enum report_setting_kind { SETTING_ASKED, SETTING_PLACE, SETTING_MOMENT };

struct report_setting {
    enum report_setting_kind kind;
    char name[32];
    char value[1200]; /* as it is: it passes report_text */
};

#define REPORT_SETTINGS_MAX (24u + 2 * HF_INSPECT_MAX_NODES)

/* How many of `settings` (of REPORT_SETTINGS_MAX) were filled. */
unsigned report_settings_list(const struct report *report, struct report_setting *settings);

#endif
