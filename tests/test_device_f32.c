/* SPDX-License-Identifier: MIT */
/* A float model, its perturbations in a bank, on the device if there is one: what the reference computes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "es/device_memory.h"
#include "kernels/cuda/cuda_level.h"
#include "models/mlp.h"

enum { SLOTS = 3, ROWS = 11, INPUTS = 32, COLUMNS = 16 };

static const egg_device *device;

/* Rows in no order; slot 1 holds no perturbation, and one member has no row. */
static const uint32_t members[ROWS] = {5, 0, 1, 1, 3, 2, 0, 5, 3, 3, 2};

/* Y (ROWS, COLUMNS) of a network whose weights and noise follow from the seed. */
static void forward(const egg_kernels *kernels, const egg_mlp_shape *shape, const egg_perturb *law, const float *X,
                    float *Y)
{
    egg_mlp mlp;
    egg_bank bank;
    egg_arena arena;
    assert_int_equal(egg_mlp_open(&mlp, shape, kernels, NULL), EGG_OK);
    egg_mlp_init_weights(&mlp, 3, 1, 0);
    egg_params_send(mlp.params, mlp.param_count);
    egg_mlp_pack(&mlp, kernels);
    assert_int_equal(egg_bank_open(&bank, mlp.params, mlp.param_count, SLOTS, law->rank, law->dense, NULL), EGG_OK);
    for (uint32_t slot = 0; slot < SLOTS; slot++) egg_bank_draw(&bank, kernels, law, slot, 7 * slot, slot == 1);
    const size_t scratch = egg_mlp_scratch_bytes(&mlp, ROWS, law->rank) + 3 * EGG_CACHE_LINE +
                           sizeof(float) * ROWS * (INPUTS + COLUMNS) + sizeof members;
    assert_int_equal(egg_device_arena_open(kernels->device, &arena, scratch, NULL), EGG_OK);
    uint32_t *row_member = egg_arena_take(&arena, sizeof members);
    float *x = egg_arena_take(&arena, sizeof(float) * ROWS * INPUTS);
    float *y = egg_arena_take(&arena, sizeof(float) * ROWS * COLUMNS);
    egg_device_upload(kernels->device, row_member, members, sizeof members);
    egg_device_upload(kernels->device, x, X, sizeof(float) * ROWS * INPUTS);
    egg_pass pass = egg_pass_begin_rows(kernels, &arena, &bank, row_member, ROWS);
    egg_mlp_forward(&pass, &mlp, (egg_mat){.data = x, .stride = INPUTS, .steps = 1, .cols = INPUTS},
                    (egg_mat){.data = y, .stride = COLUMNS, .steps = 1, .cols = COLUMNS});
    assert_false(pass.failed);
    egg_device_download(kernels->device, Y, y, sizeof(float) * ROWS * COLUMNS);
    assert_int_equal(egg_device_wait(kernels->device, NULL), EGG_OK);
    egg_device_arena_close(kernels->device, &arena);
    egg_bank_close(&bank);
    egg_mlp_close(&mlp);
}

/*
 * Four layers of sums of at most 64 terms, of activations and weights of about 1: 64 * 2^-24 * 4 each, and layer norm
 * divides by a deviation of about 1. Ten times that is ample; a wrong member or factor is off by sigma = 0.1.
 */
static void test_bank_and_model(void **state)
{
    (void)state;
    float X[ROWS * INPUTS], expected[ROWS * COLUMNS], found[ROWS * COLUMNS];
    egg_kernels reference, there;
    egg_kernels_init(&reference, 0);
    egg_kernels_cuda(&there, device);
    egg_noise_f32(egg_key_make(1, EGG_DOMAIN_SAMPLING), (egg_noise_at){0}, 0, ROWS * INPUTS, X);
    const egg_perturb laws[] = {egg_perturb_f32(5, 2, 1, 0.1f), egg_perturb_f32(5, 2, 3, 0.1f),
                                egg_perturb_dense(5, 2, 0.1f)};
    for (int activation = EGG_ACTIVATION_PQN; activation <= EGG_ACTIVATION_TANH; activation++)
        for (size_t i = 0; i < EGG_COUNT(laws); i++) {
            const egg_mlp_shape shape = {.inputs = INPUTS, .outputs = COLUMNS, .width = 64, .layers = 2,
                                         .activation = (egg_activation)activation};
            forward(&reference, &shape, &laws[i], X, expected);
            forward(&there, &shape, &laws[i], X, found);
            for (size_t j = 0; j < EGG_COUNT(found); j++)
                if (!(fabsf(found[j] - expected[j]) <= 6e-4f * (1 + fabsf(expected[j]))))
                    fail_msg("activation %d, law %zu, value %zu: %g, expected %g", activation, i, j, found[j],
                             expected[j]);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bank_and_model)};
    const char *why;
    device = egg_cuda_open(0, &why);
    if (!device) {
        print_message("no device: %s\n", why);
        return 77;   /* skipped */
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    egg_cuda_close();
    return failed;
}
