/* SPDX-License-Identifier: MIT */
/* A policy as a C header: for programs that shall depend on nothing. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "eggroll.h"
#include "train/option_text.h"
#include "train/policy.h"

typedef struct exporter {
    egg_file_writer *file;
    const egg_policy *policy;
    const char *name;
    float *plain;                  /* one parameter without padding */
} exporter;

static void write_text(const exporter *header, const char *text)
{
    egg_file_writer_write(header->file, text, strlen(text));
}

/* One line or a part of one; every '@' in it becomes the policy's name. */
static void emit(const exporter *header, const char *format, ...) EGG_PRINTF(2, 3);

static void emit(const exporter *header, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *part = line, *at; part; part = at ? at + 1 : NULL) {
        at = strchr(part, '@');
        if (at) *at = '\0';
        write_text(header, part);
        if (at) write_text(header, header->name);
    }
}

/* --------------------------------------------------------------------------------------------------------- weights */

static void emit_literal(const exporter *header, float value)
{
    char text[EGG_NUMBER_BYTES];
    egg_float_format(text, value);
    write_text(header, text);
    write_text(header, strpbrk(text, ".e") ? "f" : ".0f");
}

static void emit_array(const exporter *header, const char *name, const float *values, size_t n)
{
    enum { A_LINE = 8 };
    emit(header, "static const float @_%s[%zu] = {", name, n);
    for (size_t i = 0; i < n; i++) {
        write_text(header, i % A_LINE ? " " : "\n    ");
        emit_literal(header, values[i]);
        write_text(header, i + 1 < n ? "," : "\n};\n");
    }
}

/* "layers.0.weight" as part of a name. */
static void name_array(const egg_param *param, char name[EGG_PARAM_NAME_BYTES])
{
    snprintf(name, EGG_PARAM_NAME_BYTES, "%s", param->name);
    for (char *c = name; *c; c++)
        if (*c == '.') *c = '_';
}

static void emit_weights(const exporter *header)
{
    const egg_mlp *mlp = &header->policy->mlp;
    const egg_normalizer *normalizer = &header->policy->normalizer;
    emit_array(header, "shift", normalizer->shift, normalizer->n);
    emit_array(header, "scale", normalizer->scale, normalizer->n);
    for (uint32_t i = 0; i < mlp->param_count; i++) {
        const egg_param *param = &mlp->params[i];
        char name[EGG_PARAM_NAME_BYTES];
        if (param == egg_mlp_deviation(mlp)) continue;   /* what draws actions; the header takes the mean */
        name_array(param, name);
        egg_param_read_f32(param, header->plain);
        emit_array(header, name, header->plain, (size_t)param->used_out * param->used_in);
    }
}

/* -------------------------------------------------------------------------------------------------------- functions */

static void emit_begin(const exporter *header)
{
    const egg_mlp_shape *shape = &header->policy->mlp.shape;
    const egg_env *env = header->policy->env.env;
    write_text(header, "/*\n * A policy for ");
    write_text(header, env->name);
    write_text(header, ", written by eggroll. Depends on nothing but math.h; C99 and C++.\n *\n");
    emit(header, " * %u observations; ", shape->inputs);
    if (env->discrete)
        emit(header, "@_act() returns the likeliest of the actions 0 to %u.\n", shape->outputs - 1);
    else
        emit(header, "@_act() writes an action of %u numbers from %.9g to %.9g.\n", shape->outputs,
             (double)env->action_low, (double)env->action_high);
    emit(header, " */\n#ifndef @_POLICY_H\n#define @_POLICY_H\n\n#include <math.h>\n\n");
    emit(header, "enum { @_observations = %u, @_actions = %u, @_width = %u };\n\n", shape->inputs, shape->outputs,
         shape->width);
}

static void emit_linear(const exporter *header)
{
    write_text(header, "\n/* y = W x + bias: W (out, in), bias (out) or a null pointer. */\n");
    emit(header, "static inline void @_linear(const float *W, const float *bias, int out, int in, const float *x,\n"
                 "                                  float *y)\n");
    write_text(header, "{\n"
                       "    for (int o = 0; o < out; o++) {\n"
                       "        float sum = bias ? bias[o] : 0.0f;\n"
                       "        for (int i = 0; i < in; i++) sum += W[o * in + i] * x[i];\n"
                       "        y[o] = sum;\n"
                       "    }\n"
                       "}\n");
}

/* The body of the function, as text. */
static const char *activation_body(egg_activation activation)
{
    switch (activation) {
    case EGG_ACTIVATION_RELU:
        return "    for (int i = 0; i < @_width; i++)\n"
               "        if (y[i] < 0.0f) y[i] = 0.0f;\n";
    case EGG_ACTIVATION_TANH: return "    for (int i = 0; i < @_width; i++) y[i] = tanhf(y[i]);\n";
    case EGG_ACTIVATION_PQN: break;
    }
    return "    float mean = 0.0f, variance = 0.0f;\n"
           "    for (int i = 0; i < @_width; i++) mean += y[i] / @_width;\n"
           "    for (int i = 0; i < @_width; i++) variance += (y[i] - mean) * (y[i] - mean) / @_width;\n"
           "    for (int i = 0; i < @_width; i++) {\n"
           "        y[i] = (y[i] - mean) / sqrtf(variance + 1e-5f);\n"
           "        if (y[i] < 0.0f) y[i] = 0.0f;\n"
           "    }\n";
}

static void emit_activation(const exporter *header)
{
    static const char *const titles[] = {"layer norm and ReLU", "ReLU", "hyperbolic tangent"};
    egg_activation activation = header->policy->mlp.shape.activation;
    emit(header, "\n/* %s, in place. */\nstatic inline void @_activate(float *y)\n{\n", titles[activation]);
    emit(header, "%s}\n", activation_body(activation));
}

static void emit_layers(const exporter *header)
{
    const egg_mlp_shape *shape = &header->policy->mlp.shape;
    static const char *const buffers[] = {"h", "next"};
    emit(header, "    float x[@_observations], h[@_width]%s, y[@_actions];\n", shape->layers ? ", next[@_width]" : "");
    emit(header, "    for (int i = 0; i < @_observations; i++) {\n"
                 "        x[i] = (observation[i] - @_shift[i]) * @_scale[i];\n"
                 "        x[i] = x[i] > 10.0f ? 10.0f : x[i] < -10.0f ? -10.0f : x[i];\n"
                 "    }\n");
    emit(header, "    @_linear(@_projection_weight, 0, @_width, @_observations, x, h);\n    @_activate(h);\n");
    for (uint32_t l = 0; l < shape->layers; l++) {
        const char *from = buffers[l % 2], *to = buffers[(l + 1) % 2];
        emit(header, "    @_linear(@_layers_%u_weight, @_layers_%u_bias, @_width, @_width, %s, %s);\n", l, l, from, to);
        emit(header, "    @_activate(%s);\n", to);
    }
    emit(header, "    @_linear(@_head_weight, @_head_bias, @_actions, @_width, %s, y);\n", buffers[shape->layers % 2]);
}

static void emit_act(const exporter *header)
{
    const egg_env *env = header->policy->env.env;
    if (env->discrete) {
        emit(header, "\nstatic inline int @_act(const float *observation)\n{\n");
        emit_layers(header);
        emit(header, "    int best = 0;\n"
                     "    for (int i = 1; i < @_actions; i++)\n"
                     "        if (y[i] > y[best]) best = i;\n"
                     "    return best;\n}\n");
        return;
    }
    emit(header, "\nstatic inline void @_act(const float *observation, float *action)\n{\n    const float low = ");
    emit_literal(header, env->action_low);
    emit(header, ", high = ");
    emit_literal(header, env->action_high);
    emit(header, ";\n");
    emit_layers(header);
    emit(header, "    for (int i = 0; i < @_actions; i++) {\n"
                 "        float a = y[i] > 1.0f ? 1.0f : y[i] > -1.0f ? y[i] : -1.0f;\n"
                 "        action[i] = low + 0.5f * (a + 1.0f) * (high - low);\n"
                 "    }\n}\n");
}

/* ----------------------------------------------------------------------------------------------------------- export */

static egg_status check_name(const char *name, egg_error *error)
{
    enum { MOST = 60 };
    size_t length = strlen(name);
    bool good = length >= 1 && length <= MOST && !isdigit((unsigned char)*name);
    for (const char *c = name; *c; c++)
        good = good && (*c == '_' || (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'));
    if (good) return EGG_OK;
    return egg_fail(error, EGG_ERR_ARGUMENT,
                    "'%.80s' is no name for C: expected letters, digits and '_', at most %d, no digit first", name,
                    MOST);
}

egg_status egg_policy_export(const egg_policy *policy, const char *name, const char *path, egg_error *error)
{
    egg_status status = EGG_OK;
    exporter header = {.policy = policy, .name = name};
    size_t most = 0;
    EGG_TRY(check_name(name, error));
    for (uint32_t i = 0; i < policy->mlp.param_count; i++) {
        size_t n = (size_t)policy->mlp.params[i].used_out * policy->mlp.params[i].used_in;
        if (n > most) most = n;
    }
    header.plain = egg_alloc_array(most, sizeof *header.plain);
    if (!header.plain) return egg_fail(error, EGG_ERR_NOMEM, "%s: no memory for a copy of the weights", path);
    EGG_TRY(egg_file_writer_open(&header.file, path, error));
    emit_begin(&header);
    emit_weights(&header);
    emit_linear(&header);
    emit_activation(&header);
    emit_act(&header);
    write_text(&header, "\n#endif\n");
    status = egg_file_writer_commit(header.file, error);
out:
    egg_free(header.plain);
    return status;
}
