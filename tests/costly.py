"""Cases of seconds whose like is tried by a quicker one: they are among the slow tests, for `make test-all`.

By file and name, with the parameters of one case or without for all of them.
"""

COSTLY = (
    "autoencoder/test_autoencoder_conditions.py::test_given_c_the_linear_one_has_the_principal_components_of_what_c_leaves",
    "data/test_iterator.py::test_a_model_trains_on_it_as_on_the_same_batches",
    "data/test_permutation.py::test_all_orders_of_few_examples_are_equally_frequent[5]",
    "data/test_permutation.py::test_neighbours_in_the_order_are_independent[6]",
    "ddpm/test_ddpm_own_networks.py::test_conditions_come_last",
    "ddpm/test_ddpm_own_networks.py::test_it_trains_resumes_from_a_checkpoint_and_samples[nnx]",
    "ddpm/test_ddpm_scale.py::test_what_is_handed_out_is_in_the_units_of_the_data[Arcsinh]",
    "evaluate/test_representation.py::test_the_librarys_own_classifier_is_trained_once_and_then_kept",
    "experiments/test_defaults.py::test_every_experiment_is_built_on_a_folder_and_on_a_file[missing_pixels_mnist]",
    "experiments/test_exact.py::test_a_shift_of_the_torus_shifts_the_prediction",
    "gan/test_gan_augmentation.py::test_any_number_of_spatial_dimensions[shape0]",
    "gan/test_gan_conditions.py::test_samples_have_the_mean_and_covariance_of_their_condition[c]",
    "gan/test_gan_conditions.py::test_the_discriminator_is_the_optimal_one_of_each_condition[label]",
    "gan/test_gan_own_networks.py::test_it_trains_resumes_from_a_checkpoint_and_samples[nnx]",
    "gan/test_gan_scale.py::test_what_is_handed_out_is_in_the_units_of_the_data[Arcsinh]",
    "nn/test_attention_and_time.py::test_a_point_attends_too_and_forward_mode_is_the_transpose_of_reverse_mode",
    "paths/test_paths_sampler.py::test_churn_puts_noise_back_and_keeps_the_marginals",
    "paths/test_paths_sampler.py::test_orders_of_convergence_to_the_exact_flow[cosine]",
    "runs/test_hosts.py::test_two_processes_give_the_numbers_of_one_and_leave_a_run_like_any_other",
    "runs/test_sampling.py::test_labels_stand_beside_their_samples",
    "test_moving_average.py::test_it_moves_once_per_update_and_its_warm_up_counts_updates[gan_case]",
    "test_progress.py::test_what_takes_minutes_counts",
    "test_x64.py::test_it_trains_to_the_same_numbers[gan]",
    "train/test_state_sharding.py::test_the_same_numbers_as_on_one_device_and_a_part_of_the_memory[gan]",
    "vae/test_vae_conditions.py::test_a_withheld_condition_has_no_influence",
    "vae/test_vae_model.py::test_convolutions_for_images_of_any_size[shape1]",
    "vae/test_vae_oracle.py::test_importance_weights_of_the_exact_posterior_are_constant",
    "vae/test_vae_own_networks.py::test_it_trains_resumes_from_a_checkpoint_and_samples[equinox]",
    "vae/test_vae_scale.py::test_discrete_likelihoods_have_no_probability_off_their_support",
)
