/**
 * Every field of TrainingArguments in transformers 4.57 and 5.0 to 5.23, and what becomes of it here.
 * `docs/from-trainer.md` is made from this table.
 */
import {
  ignored,
  refused,
  refusedFlag,
  supported,
  translated,
  type TrainerField,
} from "./trainer-field.ts";

const meant: readonly TrainerField[] = [
  supported("output_dir", "outputDir"),
  supported("overwrite_output_dir", "overwriteOutputDir"),
  supported("run_name", "runName"),
  supported("resume_from_checkpoint", "resumeFromCheckpoint"),
  supported("per_device_train_batch_size", "perDeviceTrainBatchSize"),
  supported("per_device_eval_batch_size", "perDeviceEvalBatchSize"),
  supported("per_gpu_train_batch_size", "perDeviceTrainBatchSize"),
  supported("per_gpu_eval_batch_size", "perDeviceEvalBatchSize"),
  supported("gradient_accumulation_steps", "gradientAccumulationSteps"),
  supported("learning_rate", "learningRate"),
  supported("weight_decay", "weightDecay"),
  supported("adam_beta1", "adamBeta1"),
  supported("adam_beta2", "adamBeta2"),
  supported("adam_epsilon", "adamEpsilon"),
  supported("max_grad_norm", "maxGradNorm"),
  supported("label_smoothing_factor", "labelSmoothingFactor"),
  supported("num_train_epochs", "numTrainEpochs"),
  supported("max_steps", "maxSteps"),
  supported("lr_scheduler_type", "lrSchedulerType"),
  supported("lr_scheduler_kwargs", "lrSchedulerKwargs"),
  supported("warmup_steps", "warmupSteps"),
  supported("warmup_ratio", "warmupRatio"),
  supported("seed", "seed"),
  supported("bf16", "bf16"),
  supported("group_by_length", "groupByLength"),
  supported("eval_strategy", "evalStrategy"),
  supported("eval_steps", "evalSteps"),
  supported("save_strategy", "saveStrategy"),
  supported("save_steps", "saveSteps"),
  supported("save_total_limit", "saveTotalLimit"),
  supported("logging_steps", "loggingSteps"),
  supported("load_best_model_at_end", "loadBestModelAtEnd"),
  supported("metric_for_best_model", "metricForBestModel"),
  supported("greater_is_better", "greaterIsBetter"),
  translated(
    "train_sampling_strategy",
    { group_by_length: ["groupByLength", "true"], random: ["groupByLength", "false"] },
    "each epoch is a permutation made from the seed; --group-by-length or --no-group-by-length",
  ),
  translated("use_cpu", { true: ["device", "cpu"], false: null }, "--device cpu or --device gpu"),
  translated("no_cuda", { true: ["device", "cpu"], false: null }, "--device cpu or --device gpu"),
];

const adamwOnly = "the optimiser is AdamW, computed as PyTorch's: adamw";
const mixedPrecision = "--bf16, for training and its evaluations; float32 otherwise";
const replicated =
  "every worker holds the whole model: --workers N, --train-batch-size for the global batch";
const lengthOfTurns = "--eval-strategy steps with --eval-steps";

const refusals: readonly TrainerField[] = [
  refusedFlag("fp16", mixedPrecision),
  refusedFlag("bf16_full_eval", mixedPrecision),
  refusedFlag("fp16_full_eval", mixedPrecision),
  refused("tf32", mixedPrecision, ["false"]),
  refused("optim", adamwOnly, [
    "adamw",
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_hf",
    "adamw_torch_xla",
  ]),
  refused("optim_args", "--adam-beta1, --adam-beta2, --adam-epsilon and --weight-decay", [""]),
  refused("optim_target_modules", "--freeze for all that is not to be trained"),
  refusedFlag("adafactor", adamwOnly),
  refused("neftune_noise_alpha", "the model's own dropout, in its config.json"),
  refused("data_seed", "--seed, which decides the order of the data too"),
  refusedFlag(
    "dataloader_drop_last",
    "each sample is used once an epoch; a short batch counts by its true size",
  ),
  refusedFlag("ignore_data_skip", "a resumed run goes on at the very next sample"),
  refusedFlag(
    "auto_find_batch_size",
    "--dry-run for the memory, --per-device-train-batch-size for less of it",
  ),
  refused("eval_delay", lengthOfTurns, ["0"]),
  refusedFlag("eval_on_start", "`coordinator eval --model FOLDER FILE` before training"),
  refused("logging_strategy", "--logging-steps; every step is in events.jsonl", ["steps"]),
  refused("report_to", "/metrics for Prometheus and Grafana, events on NATS: both are always on", [
    "none",
    "[]",
    '["none"]',
  ]),
  refused("label_names", "--label-column", ["[]"]),
  refused("past_index", "no equivalent: classifiers keep no past", ["-1"]),
  refusedFlag("push_to_hub", "`hf upload` with the output folder, which is what the hub expects"),
  refused("save_safetensors", "model.safetensors is the only format", ["true"]),
  refused("fsdp", replicated, ["", "[]", "false"]),
  refused("fsdp_config", replicated, [
    "{}",
    '{"min_num_params":0,"xla":false,"xla_fsdp_v2":false,"xla_fsdp_grad_ckpt":false}',
  ]),
  refused("fsdp_min_num_params", replicated, ["0"]),
  refused("fsdp_transformer_layer_cls_to_wrap", replicated),
  refused("deepspeed", replicated),
  refused("accelerator_config", replicated, [
    "{}",
    '{"split_batches":false,"dispatch_batches":null,"even_batches":true,"use_seedable_sampler":true,"non_blocking":false,"gradient_accumulation_kwargs":null}',
  ]),
  refused("parallelism_config", replicated, ["{}"]),
  refused("mp_parameters", replicated, [""]),
  refused("tpu_num_cores", "--workers, on CPUs or GPUs"),
  refusedFlag("tpu_metrics_debug", "/metrics"),
  refusedFlag("use_mps_device", "--device cpu, or gpu for NVIDIA's"),
  refused("debug", "--eager runs without recorded graphs", ["", "[]"]),
];

const compiled = "steps are compiled in any case (--eager turns it off)";
const ring = "gradients go around a ring of our own over gRPC";
const inputThread = "a thread of each worker tokenises ahead of the step";
const activations =
  "activations are kept: a smaller --per-device-train-batch-size needs less memory";
const hub = "it only matters for push_to_hub";
const logs = "the coordinator shows one view of the run";
const trackers = "it only matters for a tracker of report_to";
const metrics = "the metrics are built in";

const withoutEffect: readonly TrainerField[] = [
  ignored("do_train", "`coordinator train` trains", "flag"),
  ignored("do_eval", "--eval-strategy decides", "flag"),
  ignored("do_predict", "`coordinator predict` predicts", "flag"),
  ignored("prediction_loss_only", metrics, "flag"),
  ignored("include_inputs_for_metrics", metrics, "flag"),
  ignored("include_for_metrics", metrics, "value"),
  ignored("batch_eval_metrics", metrics, "flag"),
  ignored("eval_do_concat_batches", metrics, "flag"),
  ignored("eval_use_gather_object", metrics, "flag"),
  ignored("eval_accumulation_steps", "logits go to the coordinator as they are made", "value"),
  ignored("torch_empty_cache_steps", "there is no such cache", "value"),
  ignored("log_level", logs, "value"),
  ignored("log_level_replica", logs, "value"),
  ignored("log_on_each_node", logs, "flag"),
  ignored("disable_tqdm", "bars are drawn on a terminal only", "flag"),
  ignored("logging_dir", "the history is in the output folder", "value"),
  ignored("logging_first_step", "every step is in events.jsonl", "flag"),
  ignored("logging_nan_inf_filter", "a loss that is not finite stops the run", "flag"),
  ignored("project", trackers, "value"),
  ignored("trackio_space_id", trackers, "value"),
  ignored("trackio_bucket_id", trackers, "value"),
  ignored("trackio_static_space_id", trackers, "value"),
  ignored("save_on_each_node", "the coordinator alone writes checkpoints", "flag"),
  ignored("save_only_model", "a checkpoint holds all that a resumed run needs", "flag"),
  ignored("restore_callback_states_from_checkpoint", "there are no callbacks", "flag"),
  ignored("enable_jit_checkpoint", "Ctrl-C and SIGTERM checkpoint in any case", "flag"),
  ignored("jit_mode_eval", compiled, "flag"),
  ignored("torch_compile", compiled, "flag"),
  ignored("torch_compile_backend", compiled, "value"),
  ignored("torch_compile_mode", compiled, "value"),
  ignored("torchdynamo", compiled, "value"),
  ignored("use_liger_kernel", "the kernels are TensorFlow's", "flag"),
  ignored("liger_kernel_config", "the kernels are TensorFlow's", "value"),
  ignored("gradient_checkpointing", activations, "flag"),
  ignored("gradient_checkpointing_kwargs", activations, "value"),
  ignored("activation_checkpointing", activations, "value"),
  ignored("activation_checkpointing_kwargs", activations, "value"),
  ignored("fp16_opt_level", "it only matters for fp16", "value"),
  ignored("fp16_backend", "it only matters for fp16", "value"),
  ignored("half_precision_backend", "it only matters for fp16", "value"),
  ignored("local_rank", "the coordinator gives out the ranks", "value"),
  ignored("_n_gpu", "the coordinator counts the devices", "value"),
  ignored("ddp_backend", ring, "value"),
  ignored("ddp_find_unused_parameters", ring, "flag"),
  ignored("ddp_bucket_cap_mb", ring, "value"),
  ignored("ddp_broadcast_buffers", ring, "flag"),
  ignored("ddp_static_graph", ring, "flag"),
  ignored("ddp_timeout", ring, "value"),
  ignored("average_tokens_across_devices", "losses are averaged over the global batch", "flag"),
  ignored("dataloader_num_workers", inputThread, "value"),
  ignored("dataloader_prefetch_factor", inputThread, "value"),
  ignored("dataloader_pin_memory", inputThread, "flag"),
  ignored("dataloader_persistent_workers", inputThread, "flag"),
  ignored("dataloader_multiprocessing_context", inputThread, "value"),
  ignored("dataloader_in_order", inputThread, "flag"),
  ignored("remove_unused_columns", "only the columns of text and label are read", "flag"),
  ignored("length_column_name", "lengths are measured", "value"),
  ignored("skip_memory_metrics", "memory is on /metrics", "flag"),
  ignored("include_tokens_per_second", "tokens are on /metrics", "flag"),
  ignored("include_num_input_tokens_seen", "tokens are on /metrics", "value"),
  ignored("full_determinism", "the same seed gives the same run in any case", "flag"),
  ignored("use_legacy_prediction_loop", "there is one loop", "flag"),
  ignored("use_cache", "classifiers keep no cache", "flag"),
  ignored("ray_scope", "there is no search over hyperparameters", "value"),
  ignored("hub_model_id", hub, "value"),
  ignored("hub_strategy", hub, "value"),
  ignored("hub_token", hub, "value"),
  ignored("hub_private_repo", hub, "flag"),
  ignored("hub_always_push", hub, "flag"),
  ignored("hub_revision", hub, "value"),
  ignored("push_to_hub_model_id", hub, "value"),
  ignored("push_to_hub_organization", hub, "value"),
  ignored("push_to_hub_token", hub, "value"),
];

/** All fields. */
export const trainerFields: readonly TrainerField[] = [...meant, ...refusals, ...withoutEffect];
