/* SPDX-License-Identifier: MIT */
#include "train/run.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/options.h"

egg_status egg_run_path(const char *folder, const char *name, char path[EGG_PATH_BYTES], egg_error *error)
{
    return egg_path_join(path, EGG_PATH_BYTES, folder, name, error);
}

egg_status egg_run_refuse_existing(const char *folder, egg_error *error)
{
    char path[EGG_PATH_BYTES];
    egg_status status = egg_run_path(folder, EGG_RUN_CONFIG, path, error);
    if (status != EGG_OK || !egg_path_exists(path)) return status;
    return egg_fail(error, EGG_ERR_ARGUMENT, "--out: '%s' already holds a run; go on with --resume %s or name another",
                    folder, folder);
}

egg_status egg_run_write_config(const char *folder, const egg_options *options, const char *const *data,
                                size_t data_count, egg_error *error)
{
    egg_status status = EGG_OK;
    char path[EGG_PATH_BYTES], *json = NULL;
    EGG_TRY(egg_run_path(folder, EGG_RUN_CONFIG, path, error));
    EGG_TRY(egg_options_write_json(options, data, data_count, &json, error));
    EGG_TRY(egg_file_replace(path, json, strlen(json), error));
out:
    egg_free(json);
    return status;
}

egg_status egg_run_folder(const egg_options *options, const char **folder, bool *resumed, egg_error *error)
{
    const egg_settings *settings = egg_options_values(options);
    *resumed = *settings->resume;
    *folder = *resumed ? settings->resume : settings->out;
    if (*resumed && *settings->out && strcmp(settings->resume, settings->out) != 0)
        return egg_fail(error, EGG_ERR_ARGUMENT, "--out: a resumed run stays in its folder '%s', found '%s'",
                        settings->resume, settings->out);
    return EGG_OK;
}

egg_status egg_run_law(egg_options *options, char **law, egg_error *error)
{
    enum { LAW_BYTES = 8192 };
    *law = egg_alloc(LAW_BYTES);
    if (!*law) return egg_fail(error, EGG_ERR_NOMEM, "no memory for the record of options");
    size_t used = 0;
    for (size_t i = 0; i < egg_options_count(options); i++) {
        const char *name = egg_options_describe(options, i).name;
        if (egg_options_matter(options, i) && used < LAW_BYTES)
            used += (size_t)snprintf(*law + used, LAW_BYTES - used, "%s=%s\n", name, egg_options_get(options, name));
    }
    return EGG_OK;
}
