package targets

import (
	"slices"
	"strings"

	"github.com/failwhale/failwhale/results"
)

// A figure says where a server has one signal.
type figure struct {
	signal string
	// names are what the server calls it, newest first: the first that is on the page counts, so that old names,
	// which servers keep beside new ones for a while, count nothing twice. They are written without _total, which
	// exporters add to counters or do not; and ":" and "_" are the same, as some exporters allow no colon.
	names string
	// per names the counter of what a time was spent on: such a time has a mean and no buckets.
	per string
	// unit is how many seconds one is. 0: they are seconds, or no time.
	unit float64
	// sum takes the sum of a histogram: how many tokens, of a histogram of tokens per request.
	sum bool
	// most takes the largest of a page's series instead of their sum, mean the mean: a share is not summed.
	most, mean bool
	// only and not select series by one label: "status=success", "finished_reason=abort|error".
	only, not string
}

// A serverKind is one kind of server and what it calls its figures.
type serverKind struct {
	name    string
	figures []figure
}

// serverKinds is the one place that knows servers' names. A page is of every kind of which it has a name (a Dynamo
// worker shows those of its engine as well), and a signal is told by the first kind that has it: engines stand
// before what fronts them.
//
// Names as of 2025 and 2026 are from each project's own documentation and source: docs.vllm.ai usage/metrics,
// docs.sglang.io references/production_metrics, huggingface.co/docs text-generation-inference reference/metrics,
// llama.cpp tools/server, TensorRT-LLM tensorrt_llm/metrics/collector.py (which had the prefix trtllm: under
// Dynamo 0.7), docs.nvidia.com dynamo metrics catalog, Triton docs/user_guide/metrics.md.
func serverKinds() []serverKind {
	return []serverKind{
		{"vllm", vllmFigures()},
		{"sglang", sglangFigures()},
		{"trtllm", trtllmFigures()},
		{"tgi", tgiFigures()},
		{"llama.cpp", llamaFigures()},
		{"dynamo", dynamoFigures()},
		{"triton", tritonFigures()},
	}
}

// startedFigure is what every official Prometheus client tells of its process, on Linux.
func startedFigure() figure {
	return figure{signal: results.SignalStarted, names: "process_start_time_seconds", most: true}
}

func vllmFigures() []figure {
	return []figure{
		{signal: results.SignalRunning, names: "vllm:num_requests_running"},
		{signal: results.SignalWaiting, names: "vllm:num_requests_waiting"},
		{signal: results.SignalKV, names: "vllm:kv_cache_usage_perc vllm:gpu_cache_usage_perc", most: true},
		{signal: results.SignalHits, names: "vllm:prefix_cache_hits vllm:gpu_prefix_cache_hits"},
		{signal: results.SignalQueries, names: "vllm:prefix_cache_queries vllm:gpu_prefix_cache_queries"},
		{signal: results.SignalPreempted, names: "vllm:num_preemptions"},
		{signal: results.SignalDone, names: "vllm:request_success", not: "finished_reason=abort|error"},
		{signal: results.SignalFailed, names: "vllm:request_success", only: "finished_reason=abort|error"},
		{signal: results.SignalPromptTokens, names: "vllm:prompt_tokens"},
		{signal: results.SignalOutputTokens, names: "vllm:generation_tokens"},
		{signal: results.SignalTTFT, names: "vllm:time_to_first_token_seconds"},
		{signal: results.SignalITL, names: "vllm:inter_token_latency_seconds vllm:time_per_output_token_seconds"},
		{signal: results.SignalTPOT, names: "vllm:request_time_per_output_token_seconds"},
		{signal: results.SignalE2E, names: "vllm:e2e_request_latency_seconds"},
		{signal: results.SignalQueue, names: "vllm:request_queue_time_seconds"},
	}
}

func sglangFigures() []figure {
	return []figure{
		{signal: results.SignalRunning, names: "sglang:num_running_reqs"},
		{signal: results.SignalWaiting, names: "sglang:num_queue_reqs"},
		{signal: results.SignalKV, names: "sglang:token_usage", most: true},
		{signal: results.SignalHitRate, names: "sglang:cache_hit_rate", mean: true},
		{signal: results.SignalDone, names: "sglang:num_requests"},
		{signal: results.SignalFailed, names: "sglang:num_aborted_requests"},
		{signal: results.SignalPromptTokens, names: "sglang:prompt_tokens"},
		{signal: results.SignalOutputTokens, names: "sglang:generation_tokens"},
		{signal: results.SignalTTFT, names: "sglang:time_to_first_token_seconds"},
		{signal: results.SignalITL, names: "sglang:inter_token_latency_seconds sglang:time_per_output_token_seconds"},
		{signal: results.SignalE2E, names: "sglang:e2e_request_latency_seconds"},
		{signal: results.SignalQueue, names: "sglang:queue_time_seconds"},
	}
}

func trtllmFigures() []figure {
	return []figure{
		{signal: results.SignalRunning, names: "trtllm:num_requests_running"},
		{signal: results.SignalWaiting, names: "trtllm:num_requests_waiting"},
		{signal: results.SignalKV, names: "trtllm:kv_cache_utilization", most: true},
		{signal: results.SignalHitRate, names: "trtllm:kv_cache_hit_rate", mean: true},
		{signal: results.SignalDone, names: "trtllm:request_success"},
		{signal: results.SignalTTFT, names: "trtllm:time_to_first_token_seconds"},
		{signal: results.SignalTPOT, names: "trtllm:time_per_output_token_seconds"},
		{signal: results.SignalE2E, names: "trtllm:e2e_request_latency_seconds"},
		{signal: results.SignalQueue, names: "trtllm:request_queue_time_seconds"},
	}
}

// TGI has no time to first token: it measures the queue and the inference. Its time per token includes the prefill.
// tgi_batch_current_max_tokens is a number of tokens and no share of a cache.
func tgiFigures() []figure {
	return []figure{
		{signal: results.SignalRunning, names: "tgi_batch_current_size"},
		{signal: results.SignalWaiting, names: "tgi_queue_size"},
		{signal: results.SignalDone, names: "tgi_request_success"},
		{signal: results.SignalFailed, names: "tgi_request_failure"},
		{signal: results.SignalPromptTokens, names: "tgi_request_input_length", sum: true},
		{signal: results.SignalOutputTokens, names: "tgi_request_generated_tokens", sum: true},
		{signal: results.SignalTPOT, names: "tgi_request_mean_time_per_token_duration"},
		{signal: results.SignalE2E, names: "tgi_request_duration"},
		{signal: results.SignalQueue, names: "tgi_request_queue_duration"},
	}
}

// llama.cpp and ik_llama.cpp count tokens when a request ends, and those of a cancelled one never.
func llamaFigures() []figure {
	return []figure{
		{signal: results.SignalRunning, names: "llamacpp:requests_processing"},
		{signal: results.SignalWaiting, names: "llamacpp:requests_deferred"},
		{signal: results.SignalKV, names: "llamacpp:kv_cache_usage_ratio", most: true},
		{signal: results.SignalPromptTokens, names: "llamacpp:prompt_tokens"},
		{signal: results.SignalOutputTokens, names: "llamacpp:tokens_predicted"},
		{signal: results.SignalITL, names: "llamacpp:tokens_predicted_seconds", per: "llamacpp:tokens_predicted"},
	}
}

func dynamoFigures() []figure {
	return []figure{
		{signal: results.SignalRunning, names: "dynamo_frontend_inflight_requests dynamo_frontend_active_requests"},
		{signal: results.SignalWaiting, names: "dynamo_frontend_queued_requests"},
		{
			signal: results.SignalKV, most: true,
			names: "dynamo_component_gpu_cache_usage_percent dynamo_component_kvstats_gpu_cache_usage_percent",
		},
		{
			signal: results.SignalHitRate, mean: true,
			names: "dynamo_component_gpu_prefix_cache_hit_rate dynamo_component_kvstats_gpu_prefix_cache_hit_rate",
		},
		{signal: results.SignalDone, names: "dynamo_frontend_requests", only: "status=success"},
		{signal: results.SignalFailed, names: "dynamo_frontend_requests", only: "status=error"},
		{signal: results.SignalPromptTokens, names: "dynamo_frontend_input_sequence_tokens", sum: true},
		{signal: results.SignalOutputTokens, names: "dynamo_frontend_output_tokens"},
		{signal: results.SignalTTFT, names: "dynamo_frontend_time_to_first_token_seconds"},
		{signal: results.SignalITL, names: "dynamo_frontend_inter_token_latency_seconds"},
		{signal: results.SignalE2E, names: "dynamo_frontend_request_duration_seconds"},
	}
}

// Triton's durations are counters of microseconds, whatever they look like; its one histogram is opt-in
// (--metrics-config histogram_latencies=true) and ends at the first response, which of a stream is its first chunk.
// nv_cache_num_hits_per_model counts whole answers from a cache, and no prefixes.
func tritonFigures() []figure {
	const done = "nv_inference_request_success"
	const micro, milli = 1e-6, 1e-3
	return []figure{
		{signal: results.SignalRunning, names: "nv_trt_llm_request_metrics", only: "request_type=scheduled"},
		{signal: results.SignalWaiting, names: "nv_trt_llm_request_metrics", only: "request_type=waiting"},
		{signal: results.SignalWaiting, names: "nv_inference_pending_request_count"},
		{signal: results.SignalKV, names: "nv_trt_llm_kv_cache_block_metrics", only: "kv_cache_block_type=fraction", most: true},
		{signal: results.SignalDone, names: done},
		{signal: results.SignalFailed, names: "nv_inference_request_failure"},
		{signal: results.SignalTTFT, names: "nv_inference_first_response_histogram_ms", unit: milli},
		{signal: results.SignalE2E, names: "nv_inference_request_duration_us", per: done, unit: micro},
		{signal: results.SignalQueue, names: "nv_inference_queue_duration_us", per: done, unit: micro},
	}
}

// Tells reports whether servers of a kind, as a Reading's Server names it, count a signal at all: what they have not
// counted yet may not be on their page.
func Tells(server, signal string) bool {
	for _, kind := range serverKinds() {
		if !slices.Contains(strings.Split(server, "+"), kind.name) {
			continue
		}
		if slices.ContainsFunc(kind.figures, func(f figure) bool { return f.signal == signal }) {
			return true
		}
	}
	return false
}
